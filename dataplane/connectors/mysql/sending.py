"""Rows from DuckDB as INSERT statements: DuckDB writes the text of each row, and whole buffers of it go over."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa
from pymysql.connections import Connection

from dataplane.connectors.mysql import session
from dataplane.errors import DataError

# Larger statements are no faster, and each has to fit what the server takes at once.
_PIECE = 4 << 20
_ROWS = 2048


def send(
    connection: Connection,
    into: str,
    duck: duckdb.DuckDBPyConnection,
    query: str,
    *,
    wrote: Callable[[int], None],
) -> int:
    """Insert what a SELECT of DuckDB's yields; returns the rows. Raises duckdb.Error, pymysql's errors or DataError.

    into: `table (columns)`. query: one column with the text of each row, `(1,'a'),`. wrote: told the rows so far.
    """
    head = f"INSERT INTO {into} VALUES ".encode()
    most = min(_PIECE, int(session.one(connection, "SELECT @@max_allowed_packet"))) - len(head) - 1024
    # Offsets of 64 bits: a buffer of long texts may be larger than 2 GB.
    duck.execute("SET arrow_large_buffer_size = true")
    sent = 0
    for batch in duck.execute(query).to_arrow_reader(_ROWS):
        for piece in _pieces(batch.column(0), most, into):
            sent += connection.query(head + piece)
            wrote(sent)
    return sent


def _pieces(rows: pa.Array, most: int, into: str) -> Iterator[bytes]:
    """The texts of the rows, one after the other, in pieces of at most `most` bytes, without the last comma."""
    _, offsets, data = rows.buffers()
    if not len(rows):
        return
    places = memoryview(offsets).cast("q")[rows.offset : rows.offset + len(rows) + 1]
    text = memoryview(data)
    first = 0
    while first < len(rows):
        last = bisect_right(places, places[first] + most, first) - 1
        if last == first:
            size = places[first + 1] - places[first]
            raise DataError(
                f"A row that arrives for {into.partition(' (')[0]} is {size:,} bytes long, more than the server takes "
                "at once. Leave it out, or raise max_allowed_packet on the server.",
                code="row_too_large",
                evidence={"bytes": size, "limit": most},
            )
        yield bytes(text[places[first] : places[last] - 1])
        first = last
