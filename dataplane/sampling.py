"""A declaration tried on a sample of its source: how many rows would arrive, and which would be set aside, and why."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb

from dataplane.connectors.base import Connector
from dataplane.connectors.reading import Part, Previewed, Reading, Rejected
from dataplane.connectors.schema import StreamConfig
from dataplane.engine import connector_instance
from dataplane.errors import DataError, TransientError
from dataplane.failures import duckdb_errors, translated
from dataplane.fingerprints import Fingerprints
from dataplane.patience import interrupted_after, within

ROWS = 10_000
"""So many rows of a table, or about so many messages, are tried; of files the first one is, as a whole."""
SHOWN = 20
MOST = 100_000
"""More rejected rows are not counted."""
SECONDS = 20.0
_LONGEST = 1000
_MEMORY = 256 << 20


@dataclass(frozen=True)
class Tried:
    """`rows` would arrive, `rejected` would not; `samples` are the first of those. `file` is what was read of files."""

    rows: int
    rejected: int
    samples: tuple[Rejected, ...]
    warnings: tuple[str, ...]
    file: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def tried(connector: Connector, stream: StreamConfig, *, seconds: float = SECONDS) -> Tried:
    """Read a sample as a run would and keep nothing.

    Raises DataError where a run would fail at a value that does not fit, and TransientError after `seconds`; where the
    source itself is so slow that nothing has come of it, `SECONDS` later.
    """
    if connector.inbox is not None:
        # Its events lie in our own database, which is asked in this thread.
        return _tried(connector, stream, seconds)
    return within(seconds + SECONDS, lambda: _tried(connector, stream, seconds))


def _tried(connector: Connector, stream: StreamConfig, seconds: float) -> Tried:
    planned = connector.plan_sample(stream)
    if planned.window is None:
        return Tried(0, 0, (), (f"There is nothing to try it on. {planned.reason}",), None)
    files = planned.window.files[:1]
    window = replace(planned.window, files=files)
    with (
        tempfile.TemporaryDirectory() as folder,
        connector_instance(
            extensions=connector.extensions, memory=_MEMORY, spill=f"{folder}/spill", ordered=connector.ordered
        ) as connection,
        connector.read(stream, window, connection) as reading,
        interrupted_after(seconds, connection, _late(seconds)),
        duckdb_errors(),
    ):
        limit, until = None if files else ROWS, time.monotonic() + seconds / 4
        rows, rejected, samples = 0, 0, tuple[Rejected, ...]()
        for part in reading.in_parts():
            found = _tried_part(connection, reading, part, limit)
            rows, rejected, samples = rows + found[0], rejected + found[1], (*samples, *found[2])[:SHOWN]
            # Of messages few come at once at first; a part of anything else is enough.
            if connector.family != "stream" or rows + rejected >= ROWS or time.monotonic() > until:
                break
        return Tried(
            rows=rows,
            rejected=rejected,
            samples=samples,
            warnings=tuple(dict.fromkeys([*planned.warnings, *reading.warnings])),
            file=files[0].path if files else None,
        )


def _tried_part(
    connection: duckdb.DuckDBPyConnection, reading: Reading, part: Part, limit: int | None
) -> tuple[int, int, tuple[Rejected, ...]]:
    """As `_read`, of the careful query where the other meets a value that does not fit."""
    try:
        found = _read(connection, part, limit)
        if reading.check is not None:
            reading.check(_limited(part, limit))
    except duckdb.Error as error:
        if part.careful is None or not isinstance(translated(error), DataError):
            raise
        return _read(connection, part.careful, limit)
    if part.careful is not None and _misread(connection, part, rejected=found[1] > 0):
        return _read(connection, part.careful, limit)
    return found


def _misread(connection: duckdb.DuckDBPyConnection, part: Part, *, rejected: bool) -> bool:
    """Whether the part's query takes something for what it is not, as a run finds out. Raises ManifoldError."""
    if part.room:
        with Fingerprints(counted=False) as fingerprints:
            fingerprints.add(part.files)
            told = [fingerprints.of(each.ref.path) for each in part.files]
        if any(each.quoted or each.longest > part.room for each in told):
            return True
    if not (rejected and part.longer):
        return False
    return bool(connection.execute(f"SELECT count(*) FROM __rejected WHERE {part.too_long}").fetchall()[0][0])


def _read(
    connection: duckdb.DuckDBPyConnection, part: Part, limit: int | None
) -> tuple[int, int, tuple[Rejected, ...]]:
    """How many rows a part holds and rejects, and the first of the rejected ones."""
    part.begin(connection)
    # Each column is counted, so that each value is read: a bare count would leave out what it does not need.
    counts = f"SELECT count(*), count(COLUMNS(*)) FROM ({_limited(part, limit)})"
    count = connection.execute(counts).fetchall()[0][0]
    return count, *set_aside(connection, part)


def first_rows(connection: duckdb.DuckDBPyConnection, part: Part, limit: int) -> Previewed:
    """The first rows of a part, and what it has rejected."""
    if part.rejects is None:
        return Previewed(connection.execute(f"SELECT * FROM ({part.query}) LIMIT {int(limit)}").to_arrow_table())
    # A reader says what it has refused only when it has come to the end.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE __first AS {part.query}")
    table = connection.execute(f"SELECT * FROM __first LIMIT {int(limit)}").to_arrow_table()
    return Previewed(table, *set_aside(connection, part))


def set_aside(connection: duckdb.DuckDBPyConnection, part: Part) -> tuple[int, tuple[Rejected, ...]]:
    """How many rows a part has rejected, and the first of them; its query has been run to its end."""
    if part.rejects is None:
        return 0, ()
    wanted = f"SELECT file, row::BIGINT AS row, reason, left(raw, {_LONGEST}) AS raw FROM ({part.rejects}) LIMIT {MOST}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE __rejected AS {wanted}")
    if part.complete is not None:
        part.complete(connection, "__rejected")
    rejected = connection.execute("SELECT count(*) FROM __rejected").fetchall()[0][0]
    first = connection.execute(
        f"SELECT file, row, reason, left(raw, {_LONGEST}) FROM __rejected ORDER BY file, row LIMIT {SHOWN}"
    ).fetchall()
    return rejected, _in_lines(part, [Rejected(*each) for each in first])


def _in_lines(part: Part, found: list[Rejected]) -> tuple[Rejected, ...]:
    """Rejected rows with the lines in which they begin."""
    if part.lines is None:
        return tuple(found)
    for place, file in enumerate(part.files):
        numbers = {each.row for each in found if each.file == file.ref.path and each.row is not None}
        lines = part.lines(place, numbers) if numbers else {}
        found = [
            replace(each, row=lines.get(each.row or 0, each.row)) if each.file == file.ref.path else each
            for each in found
        ]
    return tuple(found)


def _limited(part: Part, limit: int | None) -> str:
    return f"SELECT * FROM ({part.query}) LIMIT {limit}" if limit else part.query


def _late(seconds: float) -> TransientError:
    return TransientError(
        f"Reading the sample took longer than {seconds:.0f} seconds, so it was left. Save without it, and look at "
        "the rows that the first run sets aside.",
        code="sample_timeout",
    )
