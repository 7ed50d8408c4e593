"""Which columns the files have that are about to be read; told by headers and schemas, without reading their rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import duckdb

from dataplane.connectors.files.alike import apart
from dataplane.connectors.files.avro import avro_columns
from dataplane.connectors.files.encodings import for_duckdb, head, text_of
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.json_files import json_shape
from dataplane.connectors.files.json_keys import json_names
from dataplane.connectors.files.layouts import Layout, behind_nothing, delimited_layout, parquet_layout, records, unique
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.remote import SAMPLE, by_lines
from dataplane.connectors.files.settings import FileSettings, Format, format_of
from dataplane.connectors.files.sniff import sniff, wider
from dataplane.connectors.schema import Column
from dataplane.connectors.windows import FileRef
from dataplane.errors import ManifoldError

Instance = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]

# The headers of so many files are looked at; of formats that have none, and of files elsewhere, the first and the last.
_HEADERS = 500
_SAMPLE_BYTES = 1 << 16
_ENDS = ("json", "ndjson", "excel", "xml")


@dataclass
class Shape:
    """What the newest of the files has, and what is new in any of them. `declared` is the stream as it is read."""

    place: Place
    settings: FileSettings
    declared: tuple[Column, ...]
    instance: Instance
    new: dict[str, Column] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
    types: dict[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    looked: int = 0

    def columns(self) -> tuple[Column, ...] | None:
        """The declared columns, then the new ones; None where no file could be looked at.

        What the newest file lacks has gone; an older one may lack what was new after it.
        """
        if not self.looked:
            return None
        kept = {each.name: self._typed(each) for each in self.declared if each.name not in self.lacking}
        known = kept | self.new
        # Where a column stands tells whether it may be one that was called otherwise.
        return tuple(known[name] for name in dict.fromkeys([*self.order, *known]) if name in known)

    def look(self, ref: FileRef) -> None:
        """Look at one file. One that cannot be read says nothing: reading it tells what is wrong."""
        format_ = format_of(ref.path, self.settings)
        far = not self.place.local and ref.size > SAMPLE and not by_lines(ref.path)
        if format_ is None or far or not self.settings.header:
            return
        try:
            here = self.place.fetch(self.place.find(ref.path))
            try:
                self._look(here, format_)
            finally:
                self.place.release([ref.path])
        except (ManifoldError, OSError, UnicodeError):
            return

    def _look(self, here: Found, format_: Format) -> None:
        names = {each.name for each in self.declared}
        layout = self._layout(here, format_)
        there = {name for name, _ in layout}
        found = {} if there <= names else self._sniffed(here, format_)
        for name, type_ in layout:
            if name not in names:
                self.new.setdefault(name, found.get(name) or Column(name, type_ or "VARCHAR", native=type_ or "text"))
            elif type_:
                self.types[name] = wider(self.types.get(name, type_), type_)
        if format_ not in ("json", "ndjson", "xml"):
            # An object may lack a key that the next one has, so JSON and XML say nothing of what has gone.
            self.lacking = names - there
            self.order = tuple(name for name, _ in layout)
        self.looked += 1

    def _layout(self, here: Found, format_: Format) -> Layout:
        if format_ in ("csv", "tsv"):
            return delimited_layout(here, self.settings, self.declared)
        if format_ == "fixed":
            return tuple((each.name, "") for each in self.settings.spans)
        if format_ in ("excel", "xml"):
            return tuple((name, "") for name in self._sniffed(here, format_))
        with self.instance() as connection:
            if format_ == "parquet":
                return parquet_layout(connection, here)
            if format_ == "avro":
                return tuple((each.name, each.type) for each in avro_columns(connection, here))
            declared = [each.name for each in self.declared]
            with tempfile.TemporaryDirectory(prefix="manifold-shape-") as folder:
                absolute = for_duckdb(here, self.settings.encoding, folder)
                names = json_names(connection, here, absolute, json_shape(format_, here), declared)
            # One that differs from a column only by case cannot be another: the read warns of it.
            alike = apart(names, declared)
            return tuple((name, "") for name in names if name not in alike)

    def _sniffed(self, here: Found, format_: Format) -> dict[str, Column]:
        with self.instance() as connection:
            return {each.name: each for each in sniff(connection, [here], format_, declared=self.settings).columns}

    def _typed(self, column: Column) -> Column:
        """A column of Parquet or Avro in the type of the files, unless the type seen before holds it as well."""
        type_ = self.types.get(column.name)
        if not type_ or not column.native or wider(column.native, type_) == column.native:
            return column
        return replace(column, type=type_, native=type_)


def chosen(refs: Sequence[FileRef], settings: FileSettings, *, local: bool) -> Sequence[FileRef]:
    """The files that are looked at."""
    if not local or any(format_of(each.path, settings) in _ENDS for each in refs):
        return [*refs[:1], *refs[1:][-1:]]
    return [*refs[: _HEADERS - 1], *refs[_HEADERS - 1 :][-1:]]


def values_of(place: Place, ref: FileRef, settings: FileSettings) -> dict[str, frozenset[str]]:
    """Some values of each column of a delimited file, by the names in its header; nothing of one that went away."""
    if format_of(ref.path, settings) not in ("csv", "tsv"):
        return {}
    try:
        here = place.fetch(place.find(ref.path))
        try:
            return _values(here, settings)
        finally:
            place.release([ref.path])
    except (ManifoldError, OSError, UnicodeError):
        return {}


def _values(here: Found, settings: FileSettings) -> dict[str, frozenset[str]]:
    text = text_of(head(here, _SAMPLE_BYTES), settings.encoding)
    lines = text.splitlines(keepends=True)[settings.skip : -1 if len(text) >= _SAMPLE_BYTES else None]
    rows = behind_nothing([each for each in records(lines, settings) if each])
    names = unique(rows[0]) if rows else []
    columns = zip(*(each for each in rows[1:] if len(each) == len(names)), strict=True)
    return {name: frozenset(each) - {""} for name, each in zip(names, columns, strict=False)}
