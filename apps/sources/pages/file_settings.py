"""The form of how a stream's files are read: the settings that matter for their format, as their schema has them."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

from apps.sources.pages import forms
from dataplane.connectors.files.settings import UNSEEN, FileSettings, format_of, settings_for

# The page asks for these in words of its own.
_ELSEWHERE = frozenset({"pattern", "when_changed", "by_pattern"})
_WORDS = {letter: word for word, letter in UNSEEN.items()}


def entries(settings: Mapping[str, Any]) -> list[forms.Entry]:
    """The fields, filled with what is declared."""
    wanted = settings_for(_format(settings)) - _ELSEWHERE
    delimiter = settings.get("delimiter") or ""
    shown = {**settings, "delimiter": _WORDS.get(delimiter, delimiter)}
    return [each for each in forms.entries(FileSettings, shown) if each.name in wanted]


def entered(settings: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """What somebody has changed; all else stays as it is."""
    fields = entries(settings)
    filled = {f"param-{each.name}": _filled(each.value) for each in fields}
    before, now = (_read(each) for each in (filled, data))
    changed: dict[str, Any] = {}
    for each in fields:
        value = now.get(each.name)
        if value == before.get(each.name):
            continue
        if each.kind == "number" and value is not None:
            value = _number(value)
        elif each.name == "null_values" and "" in settings.get(each.name, [""]):
            # A line without a text cannot be told from none.
            value = ["", *(value or [])]
        changed[each.name] = _emptied(each) if value is None else value
    return changed


def _read(data: Mapping[str, str]) -> dict[str, Any]:
    """The fields as settings. A text that means no value may hold a comma, or nothing but blanks."""
    lines = forms.text_of(data, "param-null_values").split("\n")
    return {
        **forms.entered(FileSettings, data, between="\n"),
        "null_values": [line.strip() or line for line in lines if line],
    }


def _emptied(field: forms.Entry) -> Any:
    """Nothing, where nothing is a setting, too: without a quote each quote is a part of the text."""
    return None if NoneType in get_args(FileSettings.model_fields[field.name].annotation) else field.default


def _format(settings: Mapping[str, Any]) -> str | None:
    named = settings.get("format", "auto")
    if named != "auto":
        return str(named)
    patterns = settings.get("pattern") or [""]
    return format_of(patterns[0] if isinstance(patterns, list | tuple) else str(patterns))


def _filled(value: Any) -> str:
    return "on" if value is True else "" if value is False else str(value)


def _number(text: str) -> int | float | str:
    """A number; what is none is refused where settings are checked."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return text
