"""The first rows of files, without waiting for the others."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

import duckdb
import pyarrow as pa

from dataplane.connectors.files.encodings import SAMPLE, open_bytes
from dataplane.connectors.reading import Part, Previewed, SourceFile
from dataplane.errors import DataError
from dataplane.failures import duckdb_errors, with_names
from dataplane.sampling import first_rows


def first_of(connection: duckdb.DuckDBPyConnection, part: Part, limit: int) -> Previewed:
    """The first rows of a part, with care where a value fits its type not exactly. Raises ManifoldError."""
    try:
        with duckdb_errors():
            return _first_rows(connection, part, limit)
    except DataError as error:
        if part.careful is None:
            raise with_names(error, part.names) from error
    try:
        with duckdb_errors():
            return _first_rows(connection, part.careful, limit)
    except DataError as error:
        raise with_names(error, part.names) from error


def _first_rows(connection: duckdb.DuckDBPyConnection, part: Part, limit: int) -> Previewed:
    """Nobody waits until a long file has been read to its end, where it would be told what of it is rejected."""
    part.begin(connection)
    told = part.rejects is not None and not any(map(_is_long, part.files))
    return first_rows(connection, part if told else replace(part, rejects=None), limit)


def _is_long(file: SourceFile) -> bool:
    """Whether a file is longer than a sample, once unpacked."""
    if file.copy or not file.compressed:
        return os.path.getsize(file.copy or file.absolute) > 2 * SAMPLE
    # One that is damaged, or cut off as a sample is, is told by its reader.
    with suppress(OSError, pa.ArrowInvalid), open_bytes(file.absolute) as text:
        return len(text.read(2 * SAMPLE + 1)) > 2 * SAMPLE
    return False
