"""Files in a folder of this machine: CSV, TSV, JSON, NDJSON and Parquet, plain or compressed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, TypeVar

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from dataplane.connectors.base import (
    Capabilities,
    Column,
    Connector,
    FileRef,
    Mark,
    Planned,
    Reading,
    ReadMode,
    Stage,
    StreamConfig,
    StreamInfo,
    Window,
)
from dataplane.connectors.files.encodings import head
from dataplane.connectors.files.folder import Folder, Found
from dataplane.connectors.files.listing import Listing, list_stream
from dataplane.connectors.files.reading import Files
from dataplane.connectors.files.settings import FileSettings, format_of, settings_of
from dataplane.connectors.files.sniff import Sniffed, sniff
from dataplane.connectors.files.suggest import Suggestion, suggestions
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.failures import duckdb_errors

_SNIFFED_FILES = 5
_PREVIEW_MEMORY = 512 << 20
_LISTED = 20

Item = TypeVar("Item")


class LocalFilesParams(BaseModel):
    """Where the files are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1,
        title="Folder",
        description="A folder below one that MANIFOLD_FILE_ROOTS allows; files in its subfolders are found too.",
    )


class LocalFiles(Connector):
    """A folder whose files are read as named streams, each a pattern with settings and columns of its own."""

    key = "local_files"
    title = "Local files"
    family = "file"
    summary = "CSV, TSV, JSON, NDJSON and Parquet files in a folder, by name pattern, whole or only new ones."
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, parallel=True, resumable=True)
    Params: ClassVar[type[LocalFilesParams]] = LocalFilesParams
    ordered = True
    params: LocalFilesParams

    def test(self) -> Iterator[Stage]:
        state: dict[str, object] = {}

        def resolve() -> str:
            state["folder"] = Folder(self.params.path, self.roots)
            return "The folder exists, is below an allowed one, and may be read."

        def list_() -> str:
            found, _ = self._folder().files()
            known = [each for each in found if format_of(each.path) and each.size]
            state["file"] = known[0] if known else None
            return f"{len(found)} files, {len(known)} of a known format and not empty."

        def read() -> str:
            found = state["file"]
            if not isinstance(found, Found):
                return "There is no file to read yet."
            head(found, 4096)
            return f"{found.path} can be read."

        for name, work in (("resolve", resolve), ("list", list_), ("read", read)):
            stage = _stage(name, work)
            yield stage
            if not stage.ok:
                return

    def discover(self) -> list[StreamInfo]:
        found, warnings = self._folder().files()
        with connector_instance(memory=_PREVIEW_MEMORY) as connection:
            return [_info(connection, each, tuple(warnings)) for each in suggestions(found)]

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        settings = settings_of(stream)
        folder = self._folder()
        listing = list_stream(folder, settings, mark.ignored, now=time.time())
        if mode == "full_refresh":
            if not listing.files:
                raise _missing(stream, settings, listing)
            return _planned(folder, listing, listing.files, f"All {len(listing.files)} files are read.")
        read = {each.path: each for each in mark.files}
        new = [each for each in listing.files if each.path not in read]
        for each in listing.files:
            before = read.get(each.path)
            if before is not None and (before.size, before.modified) != (each.size, each.modified):
                listing.warnings.append(
                    f"{each.path} has changed since it was read and is not read again: its rows would come twice. "
                    f"Run with mode seed to read everything anew."
                )
        if not new:
            known = f"; {len(read)} were read before" if read else ""
            reason = f"No new file fits {', '.join(settings.pattern)}{known}."
            return Planned(None, reason, warnings=tuple(listing.warnings), listed=listing.present)
        return _planned(folder, listing, new, _names(new, len(listing.files)))

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        settings = settings_of(stream)
        folder = self._folder()
        refs = window.files
        if window.kind == "full":
            refs = tuple(list_stream(folder, settings, frozenset(), now=time.time()).files)
        declared = stream.columns or self._columns(connection, folder, refs, settings)
        with tempfile.TemporaryDirectory(dir=_spill(connection), prefix="manifold-files-") as copies:
            files = Files(folder, stream, settings, tuple(declared), connection, copies)
            total = sum(each.size for each in refs)
            yield Reading(
                "", _chosen(stream, declared), total_bytes=total, parts=files.parts(refs), warnings=files.warnings
            )

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        listing = list_stream(self._folder(), settings_of(stream), frozenset(), now=time.time())
        if not listing.files:
            raise _missing(stream, settings_of(stream), listing)
        window = Window("files", files=tuple(listing.files[:1]))
        with (
            connector_instance(memory=_PREVIEW_MEMORY, ordered=True) as connection,
            self.read(stream, window, connection) as reading,
        ):
            part = next(iter(reading.in_parts()))
            try:
                with duckdb_errors():
                    return connection.execute(f"SELECT * FROM ({part.query}) LIMIT {int(limit)}").to_arrow_table()
            except DataError:
                if part.careful is None:
                    raise
            with duckdb_errors():
                return connection.execute(f"SELECT * FROM ({part.careful.query}) LIMIT {int(limit)}").to_arrow_table()

    def _folder(self) -> Folder:
        return Folder(self.params.path, self.roots)

    def _columns(
        self, connection: duckdb.DuckDBPyConnection, folder: Folder, refs: Sequence[FileRef], settings: FileSettings
    ) -> tuple[Column, ...]:
        """The columns as found in the files themselves, for a stream that declares none."""
        if not refs:
            return ()
        format_ = format_of(refs[0].path, settings)
        if format_ is None:
            raise _format_unknown(refs[0].path)
        return sniff(connection, [folder.find(each.path) for each in _spread(refs)], format_).columns


def _info(connection: duckdb.DuckDBPyConnection, found: Suggestion, warnings: tuple[str, ...]) -> StreamInfo:
    size = sum(each.size for each in found.files)
    title = f"{found.pattern}, {len(found.files)} file{'s' if len(found.files) != 1 else ''}"
    settings = {"pattern": [found.pattern], "format": found.format}
    try:
        with duckdb_errors():
            seen = sniff(connection, _spread(found.files), found.format)
    except (DataError, ConfigurationError) as error:
        # One file that cannot be read must not hide the streams beside it.
        seen = Sniffed((), {}, [error.message])
    return StreamInfo(
        found.name,
        seen.columns,
        title=title,
        bytes=size,
        settings={**settings, **seen.settings},
        warnings=(*warnings, *seen.warnings),
    )


def _planned(folder: Folder, listing: Listing, files: Sequence[FileRef], reason: str) -> Planned:
    window = Window("files", files=tuple(files))
    return Planned(
        window,
        reason,
        rows=listing.rows(folder, files),
        bytes=sum(each.size for each in files),
        warnings=tuple(listing.warnings),
        listed=listing.present,
    )


def _names(new: Sequence[FileRef], of: int) -> str:
    shown = ", ".join(each.path for each in new[:3]) + (", …" if len(new) > 3 else "")
    return f"{len(new)} of {of} files {'is' if len(new) == 1 else 'are'} new: {shown}."


def _missing(stream: StreamConfig, settings: FileSettings, listing: Listing) -> DataError:
    return DataError(
        f"No file fits {', '.join(settings.pattern)}. Put the files there, or correct the pattern of {stream.name}.",
        code="files_missing",
        evidence={"pattern": list(settings.pattern), "others": listing.others[:_LISTED]},
    )


def _format_unknown(path: str) -> ConfigurationError:
    return ConfigurationError(
        f"Nothing tells in which format {path} is written. Choose the format in the stream's settings.",
        code="format_unknown",
        evidence={"file": path},
    )


def _spread(files: Sequence[Item]) -> list[Item]:
    """At most a few of the files, from the first to the last."""
    if len(files) <= _SNIFFED_FILES:
        return list(files)
    step = (len(files) - 1) / (_SNIFFED_FILES - 1)
    return [files[round(position * step)] for position in range(_SNIFFED_FILES)]


def _chosen(stream: StreamConfig, declared: Sequence[Column]) -> tuple[Column, ...]:
    """The selected columns. Raises ConfigurationError for one that the stream does not have."""
    if not stream.select:
        return tuple(declared)
    known = {each.name: each for each in declared}
    unknown = [name for name in stream.select if name not in known]
    if unknown:
        raise ConfigurationError(
            f"The stream {stream.name} has no column {', '.join(unknown)}; it has {', '.join(known)}.",
            code="column_unknown",
            evidence={"columns": unknown},
        )
    return tuple(known[name] for name in stream.select)


def _spill(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The instance's own folder for temporary files, where it has one; the system's otherwise."""
    row = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    folder = str(row[0]) if row and row[0] else ""
    return folder if folder and os.path.isdir(folder) else None


def _stage(name: str, work: Callable[[], str]) -> Stage:
    started = time.perf_counter()
    try:
        detail = work()
    except ManifoldError as error:
        return Stage(name, False, time.perf_counter() - started, error.message, error)
    except OSError as error:
        failure = TransientError(f"The file changed while it was looked at: {error.strerror}.", code="file_changed")
        return Stage(name, False, time.perf_counter() - started, failure.message, failure)
    return Stage(name, True, time.perf_counter() - started, detail)
