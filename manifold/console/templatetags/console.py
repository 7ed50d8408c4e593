"""How the console writes numbers, sizes, times and states, in one place so that they read alike everywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from manifold.console.templatetags.icons import ICONS

register = template.Library()

_TONES = {
    "ok": {"succeeded", "healthy", "passed", "done", "processed", "clean", "published", "fresh"},
    "warn": {"warned", "partial", "waiting", "paused", "retry_wait", "draft", "late", "warning", "changed"},
    "bad": {"failed", "timed_out", "error", "lost", "failing", "stale"},
    "live": {"running", "stopping"},
}
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL(\([\d, ]+\))?")
# As `.scroll.tall` and `.table.cells` of the stylesheet make them.
_SAMPLE_HEIGHT, _SAMPLE_HEAD, _SAMPLE_ROW = 468, 50, 29
_CODE = re.compile(r"`([^`]+)`")
_LABEL = re.compile(r"(?<![\w*])\*([A-Z][A-Za-z ]*)\*(?![\w*])")
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {"timed_out": "timed out", "retry_wait": "waits to retry"}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """A drawing; with a label it speaks, without one it is hidden from screen readers."""
    spoken = format_html('role="img" aria-label="{}"', label) if label else format_html('aria-hidden="{}"', "true")
    return format_html('<svg class="icon" viewBox="0 0 24 24" {}><path d="{}"/></svg>', spoken, ICONS[name])


@register.filter
def tone(state: str) -> str:
    """ok, warn, bad, live or nothing: the colour in which a state is shown."""
    return next((name for name, states in _TONES.items() if state in states), "")


@register.simple_tag
def state(name: str, outcome: str = "") -> SafeString:
    """A state as a badge; a run that succeeded with warnings says so."""
    word = _WORDS.get(name, name)
    if name == "succeeded" and outcome not in ("", "clean"):
        return format_html('<span class="state warn">{} · {}</span>', word, outcome)
    return format_html('<span class="state {}">{}</span>', tone(name), word)


@register.filter
def run_tone(run: Any) -> str:
    """The colour of a run: a warned success is a warning."""
    return "warn" if run.state == "succeeded" and run.outcome != "clean" else tone(run.state) or "mute"


@register.filter
def amount(value: Any) -> str:
    """1234567 as 1,234,567, the nearest whole number of a fraction; an unknown number as a dash."""
    if value is None or value == "":
        return "–"
    return f"{round(value) if isinstance(value, float) else int(value):,}"


@register.filter
def size(value: Any) -> str:
    """Bytes as 12.3 MB, in powers of a thousand; an unknown size as a dash."""
    if value is None or value == "":
        return "–"
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


@register.filter
def seconds(value: Any) -> str:
    """A duration: 84 ms, 3.2 s, 4 min 10 s, 2 h 5 min."""
    if value is None or value == "":
        return "–"
    number = float(value)
    if 0 < number < 0.001:
        return "< 1 ms"
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < 60:
        return f"{number:.1f} s"
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@register.filter
def interval(value: int) -> str:
    """Seconds that somebody chose, in the largest unit that holds them whole: minute, 15 minutes, hour, 90 seconds."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if value % length == 0:
            count = value // length
            return unit if count == 1 else f"{count} {unit}s"
    return f"{value} seconds"


@register.filter
def percent(value: Any) -> str:
    """A fraction as a percentage that does not round a few rows away to nothing."""
    number = float(value or 0) * 100
    return f"{number:.0f} %" if number in (0, 100) else "< 0.01 %" if number < 0.01 else f"{number:.2f} %"


@register.filter
def share(value: Any) -> str:
    """A part of a few as whole per cent; only all of them are 100 %."""
    return f"{int(float(value or 0) * 100)} %"


def _moment(value: Any) -> datetime | None:
    """A moment, or None; where no server says when a file was written, it stands at the beginning of Unix time."""
    moment = parse_datetime(value) if isinstance(value, str) else value
    if moment is not None and timezone.is_naive(moment):
        moment = moment.replace(tzinfo=UTC)
    return None if moment == _UNKNOWN else moment


@register.filter
def when(value: Any) -> SafeString | str:
    """A moment with its zone: 21 Nov 2026, 11:04:33 UTC."""
    moment = _moment(value)
    if moment is None:
        return "–"
    moment = moment.astimezone(UTC)
    text = f"{moment.day} {moment:%b %Y, %H:%M:%S} UTC"
    return format_html('<time datetime="{}" class="nowrap">{}</time>', moment.isoformat(), text)


@register.filter
def ago(value: Any) -> SafeString | str:
    """How long ago a moment was; the page keeps it right, and the exact time with its zone is in the title."""
    return _distance(value, "ago")


@register.filter
def ahead(value: Any) -> SafeString | str:
    """How far ahead a moment is, as `ago` writes how long one is past."""
    return _distance(value, "ahead")


def _distance(value: Any, direction: str) -> SafeString | str:
    moment = _moment(value)
    if moment is None:
        return "–"
    moment = moment.astimezone(UTC)
    title = f"{moment.day} {moment:%b %Y, %H:%M:%S} UTC"
    gone = (timezone.now() - moment).total_seconds()
    return format_html(
        '<time datetime="{0}" data-{2}="{0}" title="{1}" class="nowrap">{3}</time>',
        moment.isoformat(),
        title,
        direction,
        _gone(gone) if direction == "ago" else _coming(-gone),
    )


def _gone(lasted: float) -> str:
    """As console.js writes it, so that nothing moves when that takes over: just now, 8 s ago, 3 h ago."""
    if lasted < 10:
        return "just now"
    for unit, length, until in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86400)):
        if lasted < until:
            return f"{lasted // length:.0f} {unit} ago"
    return f"{lasted // 86400:.0f} d ago"


def _coming(left: float) -> str:
    """As console.js writes it: due now, in 8 s, in 3 h 5 min."""
    if left <= 0:
        return "due now"
    if left < 3600:
        return f"in {ceil(left)} s" if left < 60 else f"in {ceil(left / 60)} min"
    return f"in {left // 3600:.0f} h {left % 3600 // 60:.0f} min" if left < 86400 else f"in {left // 86400:.0f} d"


@register.filter
def since(value: Any) -> SafeString | str:
    """A running clock that began at a moment."""
    moment = _moment(value)
    if moment is None:
        return "–"
    began = moment.astimezone(UTC).isoformat()
    gone = max(0, int((timezone.now() - moment).total_seconds()))
    shown = f"{gone} s" if gone < 60 else seconds(gone)
    return format_html('<span class="num nowrap" data-since="{}">{}</span>', began, shown)


@register.filter
def lasted(row: Any) -> Any:
    """How long a run or step took; a running clock while it does."""
    if row.started_at is None:
        return "–"
    if row.finished_at is None:
        return since(row.started_at)
    return seconds((row.finished_at - row.started_at).total_seconds())


@register.filter
def prose(value: Any) -> SafeString:
    """A sentence of ours, with what stands between backticks set as code, and *Buttons* and *Fields* slanted."""
    text = _LABEL.sub(r"<em>\1</em>", _CODE.sub(r"<code>\1</code>", escape(value)))
    return mark_safe(text)  # noqa: S308  escaped before


@register.filter
def item(mapping: Mapping[Any, Any], key: Any) -> Any:
    """A value of a mapping by a key that is only known here."""
    return mapping.get(key)


@register.filter
def pretty(value: Any) -> str:
    """Evidence, specs and definitions as a person reads them."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def cell(value: Any) -> SafeString | str:
    """A value of a table of data; NULL is told from an empty text, and a boolean is written as SQL writes it."""
    if value is None:
        return format_html('<span class="{}">null</span>', "null")
    return str(value).lower() if isinstance(value, bool) else str(value)


@register.filter
def numeric(type_: str) -> SafeString:
    """The class of a cell whose column is of this type of DuckDB's: numbers stand at the right."""
    return mark_safe(' class="num"' if _NUMBER.fullmatch(type_) else "")  # noqa: S308  one of two constants


@register.simple_tag
def cells(columns: Sequence[Mapping[str, str]], row: Sequence[Any]) -> SafeString:
    """A row of data under its columns."""
    pairs = zip(columns, row, strict=True)
    return format_html_join("", "<td{}>{}</td>", ((numeric(column["type"]), cell(value)) for column, value in pairs))


@register.simple_tag
def rows_to_come(rows: int | None) -> SafeString:
    """What stands for a table of so many rows while it is read, as high as that will be: nothing below it jumps."""
    height = _SAMPLE_HEIGHT if rows is None else min(_SAMPLE_HEIGHT, _SAMPLE_HEAD + _SAMPLE_ROW * rows)
    return format_html('<div style="height: {}px"><div class="skeleton rows"></div></div>', height)
