"""What a connector offers of a window: its rows as SELECTs, in parts, and what of them would be set aside."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field

import duckdb
import pyarrow as pa

from dataplane.connectors.schema import Column
from dataplane.connectors.windows import FileRef, Window
from dataplane.relations import literal

_NUMBERS = "__numbers"


@dataclass(frozen=True)
class SourceFile:
    """A file behind a part of a reading: as it was planned, and where it lies now (absolute; never shown to anybody).

    lined: whether each row is one line, and lines of white space are none.
    first_line: the line of its first row, counted from 1; None for formats without lines. compressed: whether it has to
    be unpacked to be read. copy: a copy in UTF-8 whose lines are those of the file; empty where it is UTF-8 itself.
    longest_line: so many bytes a line may have, 0 for any; its reader loses longer ones without a word. quote: the
    first byte of what stands around values of several lines, where the reader would misread these.
    """

    ref: FileRef
    absolute: str
    lined: bool = field(default=False, kw_only=True)
    first_line: int | None = None
    compressed: bool = False
    copy: str = ""
    longest_line: int = 0
    quote: bytes = b""


@dataclass(frozen=True)
class Part:
    """One SELECT of a reading, run to its end before the next part is asked for.

    files: what it reads, in the order in which its rows come. origin: with several files, the column of `query` that
    holds the position (0, 1, …) of a row's file in `files`; it is taken out before the rows are staged.
    prepare: run before the query, and then doubt is called with the connection. careful: the query to run instead when
    `query` fails with a value that does not fit its type exactly; rows that do not fit are left out there. room: so
    many bytes a line may have for `query`, 0 for any; where one has more, a file has its `quote`, or a reason says one
    of the texts in `longer`, `careful` is run after all. lined: so it is where a line is refused, unless each line is a
    row that was kept or refused. rejects: run after the query on the same connection (file,
    row, reason, raw). complete: called with the connection and the table of the rejects, to add what their query
    cannot tell. lines: the lines of one of its files, by its place in `files`, in which records begin that the rejects
    tell by their numbers; None where these are lines. fatal: what stands in the reason of a reject behind which nobody
    can tell where a row ends. check: called at the end; raises when what was read is not what was planned. release:
    called when nobody needs the files any more.
    """

    query: str
    _: KW_ONLY
    files: tuple[SourceFile, ...] = ()
    origin: str | None = None
    prepare: tuple[str, ...] = ()
    doubt: Callable[[duckdb.DuckDBPyConnection], None] | None = None
    careful: Part | None = None
    room: int = 0
    longer: tuple[str, ...] = ()
    lined: bool = False
    rejects: str | None = None
    complete: Callable[[duckdb.DuckDBPyConnection, str], None] | None = None
    lines: Callable[[int, Collection[int]], dict[int, int]] | None = None
    fatal: str | None = None
    check: Callable[[], None] | None = None
    release: Callable[[], None] | None = None

    def begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Everything that stands before the query."""
        for statement in self.prepare:
            connection.execute(statement)
        if self.doubt is not None:
            self.doubt(connection)

    @property
    def too_long(self) -> str:
        """The condition on a reject that `query` refused for its length, and `careful` might take."""
        return " OR ".join(f"contains(reason, {literal(each)})" for each in self.longer) or "false"

    @property
    def names(self) -> dict[str, str]:
        """The names of its files, by the places where they are read."""
        return {place: each.ref.path for each in self.files for place in (each.absolute, each.copy) if place}


@dataclass
class Reading:
    """Rows on offer: run `query` on the connection it was opened on, to its end, then look at what was rejected.

    query is one SELECT. `rejects` is asked after the query has run; it is a query on the same connection with the
    columns file, row (line number), reason, raw; None where the connector cannot reject. A source of many files offers
    `parts` instead (then `query` is empty): they are prepared one after the other while they are asked for. settled: of
    messages the window as it was read, once all parts are. warnings:
    sentences that may grow while the parts are read. check: called once all rows have been read, while the reading is
    still open, with a SELECT that gives them as they arrived; raises ManifoldError where one may have changed on its
    way.
    """

    query: str
    columns: tuple[Column, ...]
    rejects: str | None = None
    total_rows: int | None = None
    total_bytes: int | None = None
    parts: Iterable[Part] = ()
    warnings: list[str] = field(default_factory=list)
    settled: Window | None = None
    check: Callable[[str], None] | None = None

    def in_parts(self) -> Iterable[Part]:
        """The parts; a reading that is one query is one part."""
        return [Part(self.query, rejects=self.rejects)] if self.query else self.parts


@dataclass(frozen=True)
class Rejected:
    """A row that would be set aside: its line in the file or its number, why, and what it says."""

    file: str | None
    row: int | None
    reason: str
    raw: str


@dataclass(frozen=True)
class Previewed:
    """The first rows as they would arrive. Of the part that was looked at, `rejected` rows would be set aside instead;
    `samples` are the first of those."""

    table: pa.Table
    rejected: int = 0
    samples: tuple[Rejected, ...] = ()


def renumber(connection: duckdb.DuckDBPyConnection, table: str, file: str, numbers: Mapping[int, int]) -> None:
    """Give the rejects of a file, in a table with the columns file and row, other numbers than these."""
    moved = [(was, now) for was, now in numbers.items() if was != now]
    if not moved:
        return
    was, now = map(list, zip(*moved, strict=True))
    connection.register(_NUMBERS, pa.table({"was": was, "now": now}))
    connection.execute(
        f"UPDATE {table} AS t SET row = n.now FROM {_NUMBERS} n WHERE t.file = ? AND t.row = n.was", [file]
    )
    connection.unregister(_NUMBERS)
