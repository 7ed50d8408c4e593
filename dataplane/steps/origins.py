"""Which lines of which source files the rows of a staged part are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb

from dataplane.connectors.reading import SourceFile, renumber
from dataplane.failures import duckdb_errors
from dataplane.fingerprints import Fingerprints, text_of
from dataplane.provenance import MAX_GAPS, Gaps, Origin, OriginFile, lines_of
from dataplane.relations import identifier, literal, path_list
from dataplane.steps.base import StagedFile
from dataplane.storage import Storage


@dataclass
class Origins:
    """Works out one part: its source files, the rows each of them gave, and the table of what was rejected.

    Where lines are not counted and none was rejected, nobody looks at positions: then rows are told by ordinal.

    rejected: a table with the columns file, row, reason and raw. Its `row` is the reader's number of a record, and
    becomes the line here.
    """

    connection: duckdb.DuckDBPyConnection
    storage: Storage
    fingerprints: Fingerprints
    rejected: str | None

    def of(self, sources: Sequence[SourceFile], staged: StagedFile | None, counts: Sequence[int]) -> list[Origin]:
        """The origin of the staged file (None: no row was staged). counts: rows of each source file."""
        found: list[OriginFile] = []
        before = 0
        for source, rows in zip(sources, counts, strict=True):
            first_line = source.first_line
            shifts: tuple[tuple[int, int], ...] = ()
            if first_line is not None and (self.fingerprints.counted or self._rejected(source.ref.path)):
                shifts = self._lines(source, staged, before, rows)
            elif first_line is not None:
                first_line = None
            found.append(OriginFile(source.ref.path, rows, first_line, shifts))
            before += rows
        return [Origin(staged.path, tuple(found))] if staged is not None else []

    def _lines(
        self, source: SourceFile, staged: StagedFile | None, before: int, rows: int
    ) -> tuple[tuple[int, int], ...]:
        first_line = source.first_line or 1
        gone = self._rejected(source.ref.path)
        lines = self.fingerprints.lines_of(source) - (first_line - 1)
        longer: list[tuple[int, int]] = []
        blank: list[int] = []
        if lines != rows + len(gone) and staged is not None and not source.lined:
            longer = self._longer(staged, before, rows)
        if lines != rows + len(gone) + sum(breaks for _, breaks in (*longer, *gone)):
            blank = _blank(source)
        shifts, line_of = lines_of(Gaps(gone, longer, blank), first_line)
        if self.rejected is not None:
            with duckdb_errors():
                renumber(self.connection, self.rejected, source.ref.path, line_of)
        return shifts

    @cached_property
    def _with_rejected(self) -> frozenset[str]:
        """The files of which something was rejected; asked for once, since a part may have hundreds."""
        if self.rejected is None:
            return frozenset()
        with duckdb_errors():
            rows = self.connection.execute(f"SELECT DISTINCT file FROM {self.rejected}").fetchall()
        return frozenset(file for (file,) in rows)

    def _rejected(self, path: str) -> list[tuple[int, int]]:
        """(number of the record, line breaks within it) of each rejected record of a file."""
        if path not in self._with_rejected:
            return []
        with duckdb_errors():
            return self.connection.execute(
                f"SELECT row, strlen(raw) - strlen(replace(raw, chr(10), '')) FROM {self.rejected} "
                f"WHERE file = {literal(path)} ORDER BY row LIMIT {MAX_GAPS}"
            ).fetchall()

    def _longer(self, staged: StagedFile, first: int, rows: int) -> list[tuple[int, int]]:
        """Rows with line breaks in their texts: (ordinal within the source file, line breaks)."""
        source = f"read_parquet({path_list([self.storage.absolute(staged.path)])}"
        with duckdb_errors():
            described = self.connection.execute(f"DESCRIBE SELECT * FROM {source})").fetchall()
            texts = [identifier(name) for name, type_, *_ in described if type_ == "VARCHAR"]
            if not texts:
                return []
            any_break = " OR ".join(f"contains({each}, chr(10))" for each in texts)
            breaks = " + ".join(f"coalesce(strlen({each}) - strlen(replace({each}, chr(10), '')), 0)" for each in texts)
            return self.connection.execute(
                f"SELECT file_row_number - {first}, {breaks} FROM {source}, file_row_number = true) "
                f"WHERE file_row_number >= {first} AND file_row_number < {first + rows} AND ({any_break}) "
                f"ORDER BY 1 LIMIT {MAX_GAPS}"
            ).fetchall()


def _blank(source: SourceFile) -> list[int]:
    """Lines without anything in them; only looked for when the count of lines does not add up."""
    found = []
    with text_of(source) as file:
        for number, line in enumerate(file, 1):
            if line in (b"\n", b"\r\n") or (source.lined and not line.strip()):
                found.append(number)
                if len(found) == MAX_GAPS:
                    break
    return found
