"""Pages on their way: gathered on the worker's disk as lines of JSON, and read from there with declared types."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import duckdb

from dataplane.connectors.files.groups import GroupFile
from dataplane.connectors.files.json_files import Ndjson
from dataplane.connectors.files.json_keys import exact_types
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.reading import Part, SourceFile
from dataplane.connectors.rest.records import Page
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import FileRef
from dataplane.engine import disk_error
from dataplane.failures import duckdb_errors
from dataplane.relations import literal

# So many bytes of lines are one part of a reading; the disk holds one of them at a time.
BATCH = 32 << 20
# The first is small: whoever only tries a sample waits for no more.
_FIRST = 1 << 20
_SETTINGS = FileSettings(pattern=("*",), format="ndjson")


@dataclass(frozen=True)
class Batch:
    """The records of some pages, in a file of their own. `name` says which, for people; `keys` are all that one has."""

    name: str
    path: str
    size: int
    records: int
    keys: frozenset[str] = frozenset()

    def part(self, stream: StreamConfig, columns: tuple[Column, ...], number: int) -> Part:
        """The records as rows; where a value does not fit its type, the careful query sets its row aside."""
        layout = tuple((each.name, "newline_delimited") for each in columns)
        source = SourceFile(FileRef(self.name, self.size, ""), self.path, 1)
        file = GroupFile(source, self.path, "ndjson", "none", layout, self.size)
        part = Ndjson(_SETTINGS, columns, stream, (file,), number).part(None)
        careful = part.careful and replace(part.careful, files=())
        return replace(part, files=(), careful=careful, release=lambda: os.unlink(self.path))

    def columns(self, connection: duckdb.DuckDBPyConnection, sample: int = -1) -> tuple[Column, ...]:
        """The columns that so many of the records have, or all. What is nested, or nothing in all, may be anything."""
        with duckdb_errors():
            found = connection.execute(
                f"DESCRIBE SELECT * FROM read_json({literal(self.path)}, format = 'newline_delimited', "
                f"sample_size = {int(sample)}, map_inference_threshold = -1, maximum_depth = 2)"
            ).fetchall()
        layout = tuple((name, told) for name, told, *_ in found)
        exact = exact_types(connection, self.path, "newline_delimited", layout)
        return tuple(Column(name, _type(told), native=told) for name, told in exact)


def batches(pages: Iterable[Page], folder: str, name: str, *, largest: int | None) -> Iterator[Batch]:
    """Pages gathered into files of about this size; largest None: into one, which is there without a page, too.

    Raises InfrastructureError when the disk is full.
    """
    waiting = iter(pages)
    first, more = 1, True
    while more:
        path = os.path.join(folder, f"{first:09d}.ndjson")
        size, records, last, more = 0, 0, first - 1, False
        keys: set[str] = set()
        try:
            with open(path, "xb") as file:
                for page in waiting:
                    size += file.write(page.lines)
                    records, last = records + page.count, last + 1
                    keys |= page.keys
                    if largest is not None and size >= (largest if first > 1 else min(_FIRST, largest)):
                        more = True
                        break
        except OSError as error:
            raise disk_error(error) from error
        if records or largest is None:
            pages_ = f"page {first}" if last <= first else f"pages {first} to {last}"
            yield Batch(f"{name}, {pages_}", path, size, records, frozenset(keys))
        first = last + 1


def _type(told: str) -> str:
    if told == "JSON":
        return "VARCHAR"
    return "JSON" if told.startswith(("STRUCT", "MAP")) or told.endswith("]") else told
