"""A form made from a schema of parameters, and back: what was entered as parameters. A secret is never filled in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dataplane.connectors.base import Capabilities, Connector
from dataplane.connectors.fields import Field, Kind, fields_of


@dataclass(frozen=True)
class Entry(Field):
    """A field as the form shows it; `value` is what it is filled with, `errors` what is wrong with what was entered."""

    value: Any
    errors: tuple[str, ...]
    kept: bool
    told: bool


@dataclass(frozen=True)
class Shown:
    """A connector for templates, which would try to call its class."""

    key: str
    title: str
    family: str
    summary: str
    capabilities: Capabilities


def shown(connector: type[Connector]) -> Shown:
    """What pages tell about a connector."""
    return Shown(connector.key, connector.title, connector.family, connector.summary, connector.capabilities)


def entries(
    model: type[BaseModel],
    values: Mapping[str, Any] | None = None,
    errors: Mapping[str, list[str]] | None = None,
    *,
    kept: Collection[str] = (),
    told: Collection[str] = (),
) -> list[Entry]:
    """The fields of a schema. kept: the secrets that are stored already; an empty field leaves them as they are.

    told: the secrets that are known from what was pasted, and are not filled in either.
    """
    found = []
    for each in fields_of(model):
        value = (values or {}).get(each.name, each.default)
        said = tuple(_said(errors or {}, each.name))
        here = {"value": _shown(value, each.kind), "errors": said, "kept": each.name in kept, "told": each.name in told}
        found.append(Entry(**{**vars(each), **here}))
    return found


def entered(model: type[BaseModel], data: Mapping[str, str], *, between: str = "\n,") -> dict[str, Any]:
    """What a person entered, as parameters; what was left empty is left out, so that its default applies.

    between: the characters that part the items of a list.
    """
    params: dict[str, Any] = {}
    for each in fields_of(model):
        text = text_of(data, f"param-{each.name}")
        if each.kind == "flag":
            params[each.name] = text == "on"
        elif each.kind == "list":
            parts = [part.strip() for part in re.split(f"[{between}]", text)]
            params[each.name] = [part for part in parts if part]
        elif each.kind == "secret":
            if text:
                params[each.name] = text
        elif text.strip():
            params[each.name] = text.strip()
    return params


def text_of(data: Mapping[str, str], name: str) -> str:
    """What was entered into a field. A browser ends each line of a longer text with a carriage return, too."""
    return data.get(name, "").replace("\r\n", "\n")


def cleared(model: type[BaseModel], data: Mapping[str, str]) -> dict[str, None]:
    """The fields that were emptied in an edit: None takes a parameter out.

    Secrets left empty stay, unless somebody has asked to remove what is stored.
    """
    emptied = [each for each in fields_of(model) if not data.get(f"param-{each.name}", "").strip()]
    return {
        each.name: None
        for each in emptied
        if each.kind in ("text", "long", "number", "choice")
        or (each.kind == "secret" and data.get(f"remove-{each.name}") == "on")
    }


def _shown(value: Any, kind: Kind) -> Any:
    if kind == "secret":
        return ""
    if kind == "list":
        return "\n".join(map(str, value or ()))
    return "" if value is None else value


def _said(errors: Mapping[str, list[str]], name: str) -> list[str]:
    """What was said about a field or a part of it, without pydantic's preamble."""
    said = [text for path, texts in errors.items() if path.partition(".")[0] == name for text in texts]
    return [text.removeprefix("Value error, ") for text in said]
