"""The log of a run as rows: written in the transactions that there are anyway, and between them with the heartbeat.

Lines of one execution are numbered, and written once however often they are sent: a connection may break after the
commit and before the answer, and the heartbeat may have been quicker than the commit.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from apps.pipelines.execution import rows
from apps.pipelines.models import LogLine, Run
from dataplane.steps.log import LEVELS, Level, Line

LONGEST_TEXT = 1000
LONGEST_FIELDS = 4000

# Rows of one run are numbered in the order in which they become visible: whoever writes holds the run's row.
_ROWS = """
SELECT {run}, %(step)s, %(attempt)s, %(fence)s, l.number, l.at, l.level, l.text, l.fields
FROM unnest(%(numbers)s::int[], %(ats)s::timestamptz[], %(levels)s::text[], %(texts)s::text[], %(fields)s::jsonb[])
     AS l(number, at, level, text, fields) {source}
"""
_INSERT = """
INSERT INTO pipelines_logline (run_id, step, attempt, fence, number, at, level, text, fields) {rows}
ON CONFLICT DO NOTHING
RETURNING number
"""
WRITE = _INSERT.format(rows=_ROWS.format(run="%(run)s::uuid", source=""))
# For the heartbeat, which holds no lock: where somebody else has the run's row the lines wait for the next beat.
WRITE_ASIDE = f"""
WITH held AS MATERIALIZED (SELECT id FROM pipelines_run WHERE id = %(run)s FOR NO KEY UPDATE SKIP LOCKED)
{_INSERT.format(rows=_ROWS.format(run="held.id", source="CROSS JOIN held ORDER BY l.number"))}
"""


@dataclass(frozen=True)
class Speaker:
    """Whose lines they are: a run, and in it one execution of a step."""

    run: uuid.UUID
    step: str = ""
    attempt: int = 0
    fence: int = 0


def write(speaker: Speaker, lines: Sequence[Line], *, first: int = 1) -> None:
    """Write lines, in the caller's transaction, which holds the Run's row; the first one has the number `first`."""
    if lines:
        rows.fetch(WRITE, arguments(speaker, lines, first))


def say(run: uuid.UUID, text: str, level: Level = "info", **fields: Any) -> None:
    """A line of the run itself."""
    write(Speaker(run), [Line(text, level, fields)])


def arguments(speaker: Speaker, lines: Sequence[Line], first: int) -> dict[str, Any]:
    """What `WRITE` takes. Secrets are hidden here, as in every log."""
    return {
        **vars(speaker),
        "numbers": list(range(first, first + len(lines))),
        "ats": [each.at for each in lines],
        "levels": [each.level for each in lines],
        "texts": [_text(each.text) for each in lines],
        "fields": [_fields(each.fields) for each in lines],
    }


def lines_of(run: Run, *, step: str | None = None, level: str = "info", after: int = 0) -> QuerySet[LogLine]:
    """The lines of a run in their order: of one step, at least so grave, behind the one with the id `after`."""
    found = LogLine.objects.filter(run=run, level__in=LEVELS[LEVELS.index(level) :], pk__gt=after)
    return found.order_by("id") if step is None else found.filter(step=step).order_by("id")


def line_json(line: LogLine) -> dict[str, Any]:
    """A line as the API shows it."""
    return {
        "id": line.pk,
        "at": line.at.isoformat().replace("+00:00", "Z"),
        "step": line.step,
        "attempt": line.attempt,
        "level": line.level,
        "text": line.text,
        "fields": line.fields,
    }


def as_text(line: LogLine) -> str:
    """A line for people and for `grep`: time, level, step, what was said; no letter that a terminal obeys."""
    said = f"{line.at.isoformat(timespec='milliseconds')} {line.level:<7} {line.step or '-'} {line.text}"
    return "".join(each if each.isprintable() else " " for each in said) + "\n"


def stream(lines: QuerySet[LogLine], form: str) -> Iterator[str]:
    """The lines as a file, as `text` or `ndjson`, a thousand in memory at a time."""
    for line in lines.iterator(chunk_size=1000):
        yield as_text(line) if form == "text" else json.dumps(line_json(line), ensure_ascii=False) + "\n"


def _text(text: str) -> str:
    clean = str(_storable(settings.REDACT(text)))
    return clean if len(clean) <= LONGEST_TEXT else f"{clean[: LONGEST_TEXT - 1]}…"


def _fields(fields: dict[str, Any]) -> str:
    said = json.dumps(_storable(settings.REDACT(fields)), ensure_ascii=False, default=str)
    return said if len(said) <= LONGEST_FIELDS else json.dumps({"left_out": sorted(fields)[:20]})


def _storable(value: Any) -> Any:
    """A value without what PostgreSQL's texts and JSON do not hold: NUL, half letters of file names, NaN."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(each) for key, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list | tuple) else value
