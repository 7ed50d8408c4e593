"""Which lines of which source files the rows of a staged part are."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from dataplane.connectors.base import Part
from dataplane.failures import duckdb_errors
from dataplane.fingerprints import Fingerprints
from dataplane.provenance import Origin, OriginFile, shifts_of
from dataplane.relations import identifier, path_list
from dataplane.steps.base import StagedFile
from dataplane.storage import Storage

# A file with more gaps than this tells its rows by ordinal after them: the list would outgrow what it explains.
MAX_SHIFTS = 10_000


def origins_of(
    connection: duckdb.DuckDBPyConnection,
    storage: Storage,
    part: Part,
    files: Sequence[StagedFile],
    counts: Sequence[int],
    *,
    rejected: Sequence[StagedFile],
    fingerprints: Fingerprints,
) -> list[Origin]:
    """The origin of a part's staged file; none when nothing was staged. counts: rows of each source file."""
    if not files:
        return []
    (staged,) = files
    lines = _rejected_lines(connection, storage, rejected)
    found, before = [], 0
    for each, rows in zip(part.files, counts, strict=True):
        shifts: tuple[tuple[int, int], ...] = ()
        path = each.ref.path
        gone = lines.get(path, [])
        if each.first_line is not None:
            longer = []
            if not _one_line_each(fingerprints.of(path).lines, each.first_line, rows + len(gone), plain=each.plain):
                longer = _longer_rows(connection, storage, staged, before, rows)
            shifts = shifts_of(gone, longer, each.first_line)[:MAX_SHIFTS]
        found.append(OriginFile(path, rows, each.first_line, shifts))
        before += rows
    return [Origin(staged.path, tuple(found))]


def _one_line_each(lines: int, first_line: int, rows: int, *, plain: bool) -> bool:
    """Whether a file has just as many lines as rows, which then stand in one line each."""
    return plain and lines == first_line - 1 + rows


def _rejected_lines(
    connection: duckdb.DuckDBPyConnection, storage: Storage, rejected: Sequence[StagedFile]
) -> dict[str, list[int]]:
    if not rejected:
        return {}
    paths = path_list(storage.absolute(each.path) for each in rejected)
    with duckdb_errors():
        rows = connection.execute(f"SELECT file, row FROM read_parquet({paths}) LIMIT {MAX_SHIFTS}").fetchall()
    found: dict[str, list[int]] = {}
    for path, row in rows:
        found.setdefault(path, []).append(row)
    return found


def _longer_rows(
    connection: duckdb.DuckDBPyConnection, storage: Storage, staged: StagedFile, first: int, rows: int
) -> list[tuple[int, int]]:
    """Rows with line breaks in their texts: (ordinal within the source file, line breaks)."""
    source = f"read_parquet({path_list([storage.absolute(staged.path)])}"
    with duckdb_errors():
        described = connection.execute(f"DESCRIBE SELECT * FROM {source})").fetchall()
        texts = [identifier(name) for name, type_, *_ in described if type_ == "VARCHAR"]
        if not texts:
            return []
        any_break = " OR ".join(f"contains({each}, chr(10))" for each in texts)
        breaks = " + ".join(f"coalesce(strlen({each}) - strlen(replace({each}, chr(10), '')), 0)" for each in texts)
        found: list[tuple[int, int]] = connection.execute(
            f"SELECT file_row_number - {first}, {breaks} FROM {source}, file_row_number = true) "
            f"WHERE file_row_number >= {first} AND file_row_number < {first + rows} AND ({any_break}) "
            f"ORDER BY 1 LIMIT {MAX_SHIFTS}"
        ).fetchall()
    return found
