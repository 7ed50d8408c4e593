"""The audit log as one file to take away: CSV that is harmless in a spreadsheet, or one JSON object a line."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from django.db.models import QuerySet

from apps.audit.context import Actor, acting
from apps.audit.models import Event
from apps.audit.services import record
from dataplane.export import harmless

Form = Literal["csv", "ndjson"]
MEDIA_TYPES: dict[Form, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
COLUMNS = [
    "id",
    "at",
    "actor_kind",
    "actor_name",
    "verb",
    "object_type",
    "object_id",
    "object_name",
    "request_id",
    "before",
    "after",
    "data",
]
_AT_ONCE = 1_000


def open_export(
    events: QuerySet[Event], form: Form, *, project: uuid.UUID | None, name: str, asked: dict[str, str], actor: Actor
) -> Iterator[bytes]:
    """The events as bytes, the newest first, read as they are sent. That somebody took them is recorded first."""
    with acting(actor):
        record(
            "audit exported",
            object_type="audit",
            object_id=project or "",
            object_name=name,
            project=project,
            data={"format": form, "asked": {key: value[:200] for key, value in sorted(asked.items())[:20]}},
        )
    if form == "csv":
        return as_csv(events, {name: name for name in COLUMNS})
    return _ndjson(_pages(events, COLUMNS))


def as_csv(rows: QuerySet[Any], columns: Mapping[str, str]) -> Iterator[bytes]:
    """Rows whose ids rise with time as CSV, the newest first, read as they are sent; harmless in a spreadsheet.

    columns: the field of each by its head, the id first.
    """
    yield (",".join(columns) + "\r\n").encode()
    for page in _pages(rows, list(columns.values())):
        text = io.StringIO()
        csv.writer(text).writerows([_cell(value) for value in row] for row in page)
        yield text.getvalue().encode()


def _pages(found: QuerySet[Any], fields: Sequence[str]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Page by page, so that no transaction stays open and no cursor on the server while somebody downloads slowly."""
    rows = found.order_by("-id").values_list(*fields)
    last: Any = None
    while page := list((rows if last is None else rows.filter(pk__lt=last))[:_AT_ONCE]):
        yield page
        last = page[-1][0]


def _ndjson(pages: Iterable[Sequence[tuple[Any, ...]]]) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(
            json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False, default=_plain).encode() + b"\n"
            for row in page
        )


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return harmless(str(_plain(value)))


def _plain(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else str(value)
