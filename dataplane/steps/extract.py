"""The extract step: exactly the rows of one window, from a source into staged Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import duckdb
from pydantic import Field, StringConstraints

from dataplane.connectors.base import Connector
from dataplane.connectors.reading import Part, Reading, renumber
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance, write_parquet
from dataplane.errors import CancelledError, DataError, InfrastructureError
from dataplane.failures import duckdb_errors, with_names
from dataplane.fingerprints import Fingerprints, unusable
from dataplane.http import TRAFFIC
from dataplane.provenance import MAX_GAPS, Origin
from dataplane.relations import identifier, literal, path_list
from dataplane.steps import boundary
from dataplane.steps.base import ColumnType, Spec, StagedFile, StepContext, StepKind, StepResult, Table
from dataplane.steps.naming import arriving, read_for, renamed
from dataplane.steps.origins import Origins
from dataplane.steps.watching import Share, watched

_REJECTED = "__rejected"

Name = Annotated[str, StringConstraints(min_length=1)]


class ExtractSpec(Spec):
    """A stream of a source, all of it or what is new; chosen columns; a filter in the source's own SQL."""

    source: Name
    stream: Name
    mode: Literal["incremental", "full_refresh"] = "full_refresh"
    columns: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    filter: Name | None = None


@dataclass
class Staging:
    """What has been written so far."""

    context: StepContext
    files: list[StagedFile] = field(default_factory=list)
    rejected: list[StagedFile] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    parts: int = 0
    share: Share = field(default_factory=Share)
    rows_of: dict[str, int] = field(default_factory=dict)
    filtered: bool = False
    fetched: int = 0


class ExtractStep(StepKind):
    """Needs `extras`: connector (an instance), stream (StreamConfig), window (Window or None), seen and held (see
    `boundary`), positions (False: no check will ask in which line of its file a row stands), loaded (True: a dataset
    takes the files as they are, so they are hashed while they are flushed), passed (told of each part that is staged,
    by name).

    Facts: files (what was read, with digest and rows); of messages settled (the window as it was read); of a cursor
    seen, boundary_rows, seen_from and hashed (for the next window), late and known (rows at or before the mark that
    were taken now, or left out because they were read before); bytes (of the files that were read, else of what was
    staged); warnings. `rows_in` is what the source gave. Where each row came from stands in the table's `origins`.
    """

    kind = "extract"
    Spec = ExtractSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        connector: Connector = context.extras["connector"]
        window: Window | None = context.extras["window"]
        stream = narrowed(context.extras["stream"], spec)
        if window is None:
            columns = _types(columns_of(stream))
            return StepResult(table=Table(columns), facts={"files": [], "warnings": []})
        context.storage.new_folder(context.output)
        before = TRAFFIC.calls
        with (
            connector_instance(
                extensions=connector.extensions,
                memory=context.memory,
                threads=context.threads,
                spill=context.spill,
                ordered=connector.ordered,
            ) as connection,
            watched(context, connection) as share,
            connector.read(stream, window, connection) as reading,
            Fingerprints(counted=context.extras.get("positions", True)) as fingerprints,
        ):
            staging = Staging(context, share=share, filtered=stream.row_filter is not None)
            share.in_vain = lambda: fingerprints.failed is not None
            try:
                result = _extract(staging, connection, renamed(reading, stream.names), window, fingerprints)
            except CancelledError:
                if fingerprints.failed is not None:
                    fingerprints.of(fingerprints.failed)
                raise
        result.facts["calls"] = TRAFFIC.calls - before
        return result


def narrowed(stream: StreamConfig, spec: ExtractSpec) -> StreamConfig:
    """A stream with the columns and the filter that a step asks for on top of the stream's own."""
    both = [each for each in (stream.row_filter, spec.filter) if each]
    row_filter = both[0] if len(both) == 1 else " AND ".join(f"(\n{each}\n)" for each in both)
    chosen = spec.columns or [stream.names.get(each, each) for each in stream.select]
    return replace(stream, select=read_for(chosen, stream.columns, stream.names), row_filter=row_filter or None)


def columns_of(stream: StreamConfig) -> tuple[Column, ...]:
    """The declared columns that are selected, in the order in which they are selected, as they arrive."""
    declared = {each.name: each for each in stream.columns}
    chosen = [declared[name] for name in stream.select if name in declared] if stream.select else stream.columns
    return arriving(chosen, stream.names)


def _extract(
    staging: Staging,
    connection: duckdb.DuckDBPyConnection,
    reading: Reading,
    window: Window,
    fingerprints: Fingerprints,
) -> StepResult:
    facts: dict[str, Any]
    cursor = boundary.cursor_of(window, reading.columns)
    if cursor is not None:
        files, facts = boundary.write(staging.context, connection, reading.query, cursor)
        staging.files += files
        staging.fetched = sum(each.rows for each in files) + facts.get("known", 0)
        if gone := boundary.no_longer_read(staging.context, cursor):
            reading.warnings.append(
                f"The column {', '.join(gone)} is not read any more, so rows that came late, at or before the mark, "
                "cannot be told from those that were read before; they are left out. A run with mode seed reads them."
            )
    else:
        facts = {}
        for part in reading.in_parts():
            fingerprints.add(part.files)
            _stage(staging, connection, part, reading, fingerprints)
    if reading.check is not None and staging.files:
        paths = path_list(staging.context.storage.absolute(each.path) for each in staging.files)
        with duckdb_errors():
            reading.check(f"SELECT * FROM read_parquet({paths}, hive_partitioning = false)")
    table = Table(_types(reading.columns), tuple(staging.files), tuple(staging.rejected), tuple(staging.origins))
    facts["files"] = [
        {**vars(ref), "digest": digest, "rows": staging.rows_of.get(ref.path, 0)}
        for ref, digest in fingerprints.results()
    ]
    facts["settled"] = reading.settled.as_json() if reading.settled else None
    facts["warnings"] = list(dict.fromkeys(reading.warnings))
    facts["bytes"] = sum(each["size"] for each in facts["files"]) or table.bytes
    return StepResult(table=table, rows_in=staging.fetched, facts=facts)


def _stage(
    staging: Staging, connection: duckdb.DuckDBPyConnection, part: Part, reading: Reading, fingerprints: Fingerprints
) -> None:
    """Write one part: its rows, its rejected lines, and where they came from."""
    context = staging.context
    name = f"part-{staging.parts:05d}"
    staging.parts += 1
    total = reading.total_bytes or 0
    staging.share.next(sum(each.ref.size for each in part.files) / total if total and part.files else 1.0)
    release = part.release
    try:
        part, files, counts, table = _written(context, connection, part, name, fingerprints)
    except InfrastructureError as error:
        if error.code == "io":
            fingerprints.require_packed_well(part.files)
        raise
    staging.rows_of.update((each.ref.path, rows) for each, rows in zip(part.files, counts, strict=bool(part.files)))
    # Where a filter takes rows out, a position in the staged file tells nothing about the line in its source.
    if part.files and not staging.filtered:
        origins = Origins(connection, context.storage, fingerprints, table)
        staging.origins += origins.of(part.files, files[0] if files else None, counts)
    elif table is not None:
        _tell_lines(connection, part, table)
    staging.files += files
    staging.fetched += sum(counts)
    if table is not None:
        _refuse_fatal(connection, part, fingerprints)
        folder = f"{context.output}/rejected"
        query = f"SELECT file, row, reason, raw FROM {table} ORDER BY file, row"
        rejected = write_parquet(
            connection, query, storage=context.storage, folder=folder, name=name, hashed=_hashed(context)
        )
        staging.rejected += rejected
        staging.fetched += sum(each.rows for each in rejected)
    if part.check is not None:
        part.check()
    if release is not None:
        for each in part.files:
            fingerprints.of(each.ref.path)
        release()
    rows = sum(each.rows for each in files)
    paths = [each.ref.path for each in part.files]
    what = paths[0] if len(paths) == 1 else f"{len(paths)} files" if paths else "the stream"
    context.log.say(f"Read {what}: {rows:,} rows.", rows=rows, files=paths[:20])
    context.progress.rows += rows
    context.progress.bytes += sum(each.ref.size for each in part.files)
    context.extras.get("passed", _nowhere)(f"part_{staging.parts}")


def _nowhere(place: str) -> None:
    """Nobody wants to know how far it has come."""


def _written(
    context: StepContext, connection: duckdb.DuckDBPyConnection, part: Part, name: str, fingerprints: Fingerprints
) -> tuple[Part, tuple[StagedFile, ...], list[int], str | None]:
    """Write a part's rows, carefully if a value or a line did not fit; the part that was run, its files, the rows of
    each of its sources, and the table of what it left out."""
    try:
        files, counts = _copied(context, connection, part, name)
        rejected = _rejected(connection, part)
        if part.careful is None or not _misread(connection, part, sum(counts), rejected, fingerprints):
            return part, files, counts, rejected
    except DataError as error:
        if part.careful is None or error.code not in ("conversion", "invalid_input", "json_malformed"):
            raise with_names(error, part.names) from error.__cause__
    context.storage.remove(f"{context.output}/{name}.parquet" if part.files else f"{context.output}/{name}")
    try:
        return part.careful, *_copied(context, connection, part.careful, name), _rejected(connection, part.careful)
    except DataError as error:
        raise with_names(error, part.names) from error.__cause__


def _misread(
    connection: duckdb.DuckDBPyConnection, part: Part, kept: int, rejected: str | None, fingerprints: Fingerprints
) -> bool:
    """Whether a file has what the part's query takes for something else, mostly without a word."""
    if not part.room:
        return False
    told = [fingerprints.of(each.ref.path) for each in part.files]
    if any(each.quoted or each.longest > part.room for each in told):
        return True
    if rejected is None:
        return False
    # A record of several lines may be too long where none of them is.
    asked = f"SELECT count(*), count(*) FILTER (WHERE {part.too_long}) FROM {rejected}"
    refused, too_long = connection.execute(asked).fetchall()[0]
    return bool(too_long) or bool(refused and part.lined and refused + kept != _lines(part, fingerprints))


def _lines(part: Part, fingerprints: Fingerprints) -> int:
    """The lines of a part's files, from that of their first row on."""
    return sum(fingerprints.lines_of(each) - (each.first_line or 1) + 1 for each in part.files)


def _copied(
    context: StepContext, connection: duckdb.DuckDBPyConnection, part: Part, name: str
) -> tuple[tuple[StagedFile, ...], list[int]]:
    with duckdb_errors():
        part.begin(connection)
    query, storage = part.query, context.storage
    if part.origin is None:
        files = write_parquet(
            connection,
            query,
            storage=storage,
            folder=context.output,
            name=name,
            split=not part.files,
            many=_many(context, part),
            hashed=_hashed(context),
        )
        return files, [sum(each.rows for each in files)]
    # Several small files: their rows pass through a table, where they can be counted for each file.
    column = identifier(part.origin)
    with duckdb_errors():
        connection.execute(f"CREATE OR REPLACE TEMP TABLE __part AS {query}")
        found = connection.execute(f"SELECT {column}, count(*) FROM __part GROUP BY ALL").fetchall()
    rows = f"SELECT * EXCLUDE ({column}) FROM __part"
    files = write_parquet(connection, rows, storage=storage, folder=context.output, name=name, hashed=_hashed(context))
    with duckdb_errors():
        connection.execute("DROP TABLE __part")
    counted = dict(found)
    return files, [counted.get(position, 0) for position in range(len(part.files))]


def _many(context: StepContext, part: Part) -> bool:
    """Whether its files are known to hold very many rows of few columns: some 4 MB for each column."""
    columns = len(context.extras["stream"].columns)
    return 0 < columns <= 100 and sum(each.ref.size for each in part.files) >= columns << 22


def _hashed(context: StepContext) -> bool:
    return bool(context.extras.get("loaded", False))


def _rejected(connection: duckdb.DuckDBPyConnection, part: Part) -> str | None:
    """The table of what the part's query has left out; None where nothing can be rejected."""
    if part.rejects is None:
        return None
    with duckdb_errors():
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_REJECTED} AS "
            f"SELECT file, row::BIGINT AS row, reason, raw FROM ({part.rejects})"
        )
        if part.complete is not None:
            part.complete(connection, _REJECTED)
    return _REJECTED


def _tell_lines(connection: duckdb.DuckDBPyConnection, part: Part, table: str) -> None:
    """Give the rejected records of a part their lines where no origins are worked out."""
    if part.lines is None:
        return
    for place, source in enumerate(part.files):
        query = f"SELECT row FROM {table} WHERE file = ? ORDER BY row LIMIT {MAX_GAPS}"
        records = {record for (record,) in connection.execute(query, [source.ref.path]).fetchall()}
        if records:
            renumber(connection, table, source.ref.path, part.lines(place, records))


def _refuse_fatal(connection: duckdb.DuckDBPyConnection, part: Part, fingerprints: Fingerprints) -> None:
    """Raise DataError for a file in which rows cannot be told apart from some line on."""
    if part.fatal is None:
        return
    found = connection.execute(
        f"SELECT file, row FROM {_REJECTED} WHERE contains(reason, {literal(part.fatal)}) ORDER BY ALL LIMIT 1"
    ).fetchone()
    if found is not None:
        # The reader may say the same of a line that was too long for it; that is told first, then.
        fingerprints.of(found[0])
        raise unusable(
            found[0],
            f'has a quote on line {found[1]} that is never closed, or has text behind the closing one ("a"b): where '
            "its rows end cannot be told. Correct the line, or set the stream's quote to none",
            "quote_open",
            row=found[1],
        )


def _types(columns: Iterable[Column]) -> tuple[ColumnType, ...]:
    return tuple(ColumnType(each.name, each.type, each.nullable) for each in columns)
