"""A window's files as parts: one file, or several small ones of the same layout, each with a declared schema."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import duckdb

from dataplane import statements
from dataplane.connectors.files import groups
from dataplane.connectors.files.alike import apart
from dataplane.connectors.files.avro import Avro, avro_of
from dataplane.connectors.files.beginnings import beginning_of
from dataplane.connectors.files.careful import CarefulGroup
from dataplane.connectors.files.encodings import Compression, as_utf8, compression_of, for_duckdb, head, no_other
from dataplane.connectors.files.ends import LINE_FEED, evened, line_end_of
from dataplane.connectors.files.fixed import fixed_of
from dataplane.connectors.files.formats import OfTexts, group_for
from dataplane.connectors.files.found import Found, gone
from dataplane.connectors.files.groups import Group, GroupFile
from dataplane.connectors.files.json_files import json_shape
from dataplane.connectors.files.json_keys import json_names, undeclared_parts
from dataplane.connectors.files.layouts import Layout, blank_before, delimited_layout, empty, parquet_layout
from dataplane.connectors.files.markup import Markup, markup_of
from dataplane.connectors.files.moments import cut_off, keeping
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.settings import BINARY, COPIED, FileSettings, Format, format_of
from dataplane.connectors.files.sheets import sheet_of
from dataplane.connectors.files.texts import Texts
from dataplane.connectors.reading import Part, SourceFile
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import FileRef
from dataplane.errors import ConfigurationError, DataError, Suggestion

# Files up to this size together pass through memory as one part; larger ones are a part of their own.
SMALL = 32 << 20
_MOST = 500
_UNPACKED = 8


@dataclass
class Files:
    """The files of one reading on one connection. `folder_for_copies` is where copies go that can be read.

    sample: only the first rows are asked for.
    """

    place: Place
    stream: StreamConfig
    settings: FileSettings
    columns: tuple[Column, ...]
    connection: duckdb.DuckDBPyConnection
    folder_for_copies: str
    sample: bool = False
    warnings: list[str] = field(default_factory=list)
    _parts: int = 0
    _brought: set[str] = field(default_factory=set)

    def parts(self, refs: Sequence[FileRef]) -> Iterator[Part]:
        """The parts of these files, in their order. Raises ManifoldError for a file that is not as planned."""
        if self.stream.row_filter:
            statements.check_expression(self.stream.row_filter)
        group: list[GroupFile] = []
        weight = 0
        for ref in refs:
            each = self._prepared(ref)
            if group and (weight + each.weight > SMALL or len(group) >= _MOST or not group[0].alike(each)):
                yield self._part(group)
                group, weight = [], 0
            group.append(each)
            weight += each.weight
        if group:
            yield self._part(group)

    def _prepared(self, ref: FileRef) -> GroupFile:
        found = self.place.find(ref.path)
        self._unchanged(ref, found)
        format_ = format_of(ref.path, self.settings)
        if format_ is None:
            raise ConfigurationError(
                f"Nothing tells in which format {ref.path} is written. Choose the format in the stream's settings.",
                code="format_unknown",
                evidence={"file": ref.path},
            )
        if found.size == 0 and format_ != "ndjson":
            raise empty(ref.path)
        lies = found.absolute
        found = self.place.fetch(found)
        if found.absolute != lies:
            self._brought.add(ref.path)
        if self.sample and format_ in ("csv", "tsv"):
            found = beginning_of(found, self.settings, self.folder_for_copies)
        try:
            compression = "none" if format_ in BINARY else compression_of(found.absolute)
            absolute = found.absolute
            encoding = self.settings.encoding
            if format_ == "ndjson" and encoding == "utf-8" and head(found, 3) == codecs.BOM_UTF8:
                encoding = "utf-8-sig"
            if format_ == "fixed":
                absolute = as_utf8(found, encoding, self.folder_for_copies)
            elif format_ not in (*BINARY, *COPIED):
                absolute = for_duckdb(found, encoding, self.folder_for_copies)
            compression = compression if absolute == found.absolute else "none"
            texts = self._texts(format_, found)
            if isinstance(texts, (Avro, Markup)):
                absolute, compression = texts.copy, "none"
            layout = self._layout(format_, found, absolute, texts)
            delimited, line_end = format_ in ("csv", "tsv"), ""
            if delimited:
                absolute, compression, line_end = self._evened(found, absolute, compression)
        except FileNotFoundError:
            raise gone(ref.path) from None
        blank = blank_before(found, self.settings) if delimited else 0
        longest_line = groups.BUFFER if delimited or format_ == "fixed" else 0
        compressed = compression != "none"
        copy = "" if absolute == found.absolute or format_ in COPIED else absolute
        quote, quoted = self._quoted(replace(found, absolute=absolute), compressed) if delimited else (b"", False)
        first = self._first_line(format_, blank)
        source = SourceFile(ref, found.absolute, first, compressed, copy, longest_line, quote)
        weight = found.size * (_UNPACKED if compressed else 1)
        return GroupFile(source, absolute, format_, compression, layout, weight, texts, blank, quoted, line_end)

    def _quoted(self, text: Found, compressed: bool) -> tuple[bytes, bool]:
        """The quote to look for while a text in UTF-8 is read, and whether one stands in its beginning already.

        Values of several lines are misread where pieces of a file are read at once.
        """
        quote = (self.settings.quote or "").encode()[:1]
        if not quote or not (compressed or os.path.getsize(text.absolute) > groups.SMALL_BUFFER):
            return b"", False
        return (b"", True) if quote in head(text, groups.BUFFER) else (quote, False)

    def _evened(self, found: Found, absolute: str, compression: Compression) -> tuple[str, Compression, str]:
        """Where a text in UTF-8 lies whose lines all end alike, how it is compressed, and what ends them."""
        end = line_end_of(replace(found, absolute=absolute), self.settings, groups.BUFFER)
        if end is not None:
            return absolute, compression, end
        copy = evened(absolute, self.settings, self.folder_for_copies)
        if absolute != found.absolute:
            os.remove(absolute)
        return copy, "none", LINE_FEED

    def _first_line(self, format_: Format, blank: int) -> int | None:
        """The line of the first row, counted from 1; None of formats without lines."""
        if format_ in ("csv", "tsv"):
            return 1 + self.settings.skip + blank + self.settings.header
        return 1 if format_ == "ndjson" else None

    def _texts(self, format_: Format, found: Found) -> Texts | None:
        """The table of a file of those formats that are not read by DuckDB's own readers alone."""
        folder = self.folder_for_copies
        if format_ == "avro":
            return avro_of(self.connection, found, self.columns, folder, sample=self.sample)
        if format_ == "excel":
            return sheet_of(self.connection, found, self.settings, self.columns)
        if format_ == "fixed":
            return fixed_of(found, self.settings, groups.BUFFER)
        if format_ != "xml":
            return None
        markup = markup_of(found, self.settings, self.columns, folder, sample=self.sample)
        if not markup.count:
            self.warnings.append(f"{found.path} holds no element {self.settings.records}: it has no rows.")
        return markup

    def _layout(self, format_: Format, found: Found, absolute: str, texts: Texts | None) -> Layout:
        if texts is not None:
            return tuple((name, "") for name in texts.names)
        if format_ == "parquet":
            return parquet_layout(self.connection, found)
        if format_ in ("json", "ndjson"):
            sample = head(found, 4096)
            # No lines are no rows, while nothing is no JSON.
            if format_ == "json" and not sample.strip():
                raise empty(found.path)
            no_other(found.path, sample, self.settings.encoding)
            shape = json_shape(format_, found)
            declared = [each.name for each in self.columns]
            if not declared:
                raise DataError(
                    f"The stream {self.stream.name} declares no columns, so nothing of {found.path} can be read. "
                    "Discover the source again once a file has rows.",
                    code="column_missing",
                    evidence={"file": found.path},
                )
            seen = json_names(self.connection, found, absolute, shape, declared)
            parts = undeclared_parts(self.connection, found, absolute, shape, self.columns)
            alike = {
                name: f"{name} (only its case differs from {other})" for name, other in apart(seen, declared).items()
            }
            if extra := [alike.get(name, name) for name in sorted({*seen, *parts}.difference(declared))]:
                self.warnings.append(f"{found.path} has keys that the stream does not declare: {', '.join(extra)}.")
            # A key may come up for the first time far down, so every declared one is asked for.
            return tuple((name, shape) for name in declared)
        return delimited_layout(found, self.settings, self.columns)

    def _part(self, files: Sequence[GroupFile]) -> Part:
        settings = self.settings.model_copy(update={"skip": self.settings.skip + files[0].blank})
        group = group_for(files[0])(settings, self.columns, self.stream, tuple(files), self._parts, self.sample)
        self._parts += 1
        self._tell(group)
        sources = [each.source for each in files]
        # What came from another machine was compared with its place when it arrived.
        part = group.part(self._checked(sources) if self.place.local else None)
        paths = [each.ref.path for each in sources if each.ref.path in self._brought]
        copies = [each.absolute for each in files if each.absolute != each.source.absolute]

        def release() -> None:
            self.place.release(paths)
            for each in copies:
                os.remove(each)

        # What was brought, unpacked or copied here makes room when it has been read.
        return replace(part, release=release) if paths or copies else part

    def _tell(self, group: Group) -> None:
        there = {name for name, _ in group.files[0].layout}
        declared = [each.name for each in self.columns]
        shown = group.files[0].source.ref.path
        more = f" and {len(group.files) - 1} more" if len(group.files) > 1 else ""
        if missing := [name for name in declared if name not in there]:
            self.warnings.append(f"{shown}{more} has no column {', '.join(missing)}; it is read as NULL.")
        if extra := sorted(there.difference(declared)):
            self.warnings.append(f"{shown}{more} has columns that the stream does not declare: {', '.join(extra)}.")
        if isinstance(group, CarefulGroup | OfTexts) and (finer := cut_off(self.connection, group)):
            self.warnings.append(
                f"{shown}{more} has times with more decimals than their columns keep, which are cut off: "
                f"{', '.join(f'{each.name} ({each.type})' for each in finer)}. {keeping(finer)}"
            )

    def _checked(self, files: Sequence[SourceFile]) -> Callable[[], None]:
        def check() -> None:
            for each in files:
                self._unchanged(each.ref, self.place.find(each.ref.path), during=True)

        return check

    def _unchanged(self, ref: FileRef, found: Found, *, during: bool = False) -> None:
        now = found.ref(ref.file_date)
        if now.state == ref.state:
            return
        when = "while it was read" if during else "since the run was planned"
        raise DataError(
            f"{ref.path} has changed {when}. Run again; settle_seconds leaves files alone that are still written.",
            code="file_changed",
            evidence={"file": ref.path, "planned": vars(ref), "found": vars(now)},
            suggestions=[Suggestion("run_again", "Run again", "The file is read as it is then.", applicable=True)],
        )
