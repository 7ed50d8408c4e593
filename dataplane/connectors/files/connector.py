"""What every connector of files does: named streams, each a pattern with settings and columns of its own.

Where the files lie is a `Place`, which each connector opens in its own way; listing, planning and reading are the same.
"""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import duckdb
import pyarrow as pa

from dataplane.connectors.base import Connector, Stage
from dataplane.connectors.files import changed as changes
from dataplane.connectors.files.encodings import head
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.listing import Listing, list_stream
from dataplane.connectors.files.looking import Look
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.previewing import first_of
from dataplane.connectors.files.reading import Files
from dataplane.connectors.files.settings import ARCHIVE, FileSettings, format_of, implied, settings_of
from dataplane.connectors.files.shape import Shape, chosen, values_of
from dataplane.connectors.files.sniff import DIALECT, VALUES
from dataplane.connectors.files.zipped import Unzipped
from dataplane.connectors.reading import Previewed, Reading
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import FileRef, FilesRefused, Mark, Planned, ReadMode, Window
from dataplane.engine import connector_instance, spill_folder
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.failures import duckdb_errors

_PREVIEW_MEMORY = 512 << 20
_LISTED = 20
_WARNED = 3


class FileConnector(Connector):
    """Base of the connectors of files; a subclass says in which place its files lie."""

    family = "file"
    Settings = FileSettings
    ordered = True
    fills_missing = True
    near: ClassVar[bool] = False
    """Its files lie on this machine, so that listing them takes hardly any time."""
    suggested: ClassVar[dict[str, Any]] = {}
    """Settings that a discovered stream begins with."""
    patience: ClassVar[float] = 10.0
    """Seconds after which `discover` looks into no further stream."""

    @abstractmethod
    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        """The place, not opened yet. sample: the beginning of a large file is enough. within: a folder for what is
        brought here. known: files as they were read before."""

    @property
    def _reads_changed(self) -> bool:
        """Whether an incremental read takes a file again that has changed since it was read."""
        return False

    @contextmanager
    def _opened(
        self, *, sample: bool = False, within: str | None = None, known: Sequence[FileRef] = ()
    ) -> Iterator[Place]:
        place = self._looked_into(self._place(sample=sample, within=within, known=known), sample, within)
        try:
            place.open()
            yield place
        finally:
            place.close()

    @staticmethod
    def _looked_into(place: Place, sample: bool, within: str | None) -> Place:
        """The place with its archives open, where they need not be brought here to know what is in them."""
        return Unzipped(place, sample=sample, within=within) if place.local else place

    def test(self) -> Iterator[Stage]:
        place = self._looked_into(self._place(sample=True, within=None, known=()), sample=True, within=None)
        chosen: list[Found] = []

        def list_() -> str:
            found, warnings = place.files()
            known = [each for each in found if format_of(each.path) and each.size]
            chosen.extend(known[:1])
            files = "1 file" if len(found) == 1 else f"{len(found)} files"
            return " ".join([f"{files}, {len(known)} of a known format and not empty.", *warnings[:_WARNED]])

        def read() -> str:
            if not chosen:
                return "There is no file to read yet."
            head(place.fetch(chosen[0]), 4096)
            return f"{chosen[0].path} can be read."

        try:
            for name, work in (*place.steps(), ("list", list_), ("read", read)):
                stage = _stage(name, work)
                yield stage
                if not stage.ok:
                    return
        finally:
            place.close()

    def discover(self) -> list[StreamInfo]:
        return self._discovered(None)

    def discover_named(self, names: Collection[str]) -> list[StreamInfo]:
        return self._discovered(names)

    def patience_for(self, names: Collection[str] | None) -> float:
        """Seconds after which a look at all streams, or at these, looks into no further one."""
        return self.patience if names is None else 6 * self.patience

    def _discovered(self, names: Collection[str] | None) -> list[StreamInfo]:
        with self._opened(sample=True) as place, connector_instance(memory=_PREVIEW_MEMORY) as connection:
            return Look(place, connection).streams(names, self.patience_for(names), self.suggested)

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        settings = settings_of(stream)
        with self._opened(known=mark.files) as place:
            listing = list_stream(place, settings, mark.ignored, now=time.time())
            if mode == "full_refresh":
                if listing.unsettled and settings.settle_seconds is None:
                    raise _not_whole(sorted(listing.unsettled))
                if not listing.files:
                    raise _missing(stream, settings, listing)
                return _planned(place, listing, listing.files, _all_of(listing.files))
            read = {each.path: each for each in mark.files}
            changed, touched = changes.changed(place, listing.files, read, mark.touched)
            policy = settings.when_changed or ("read_again" if self._reads_changed else "ignore")
            loaded = [each for each in changed if each.path not in mark.begun]
            if loaded and policy == "stop":
                raise changes.stopped(stream.name, loaded)
            # What no load has taken is read as it is now when it is repeated.
            again = {each.path for each in loaded} if policy == "read_again" else set()
            left = [each for each in changed if each.path not in again]
            listing.warnings += [changes.told(each, begun=each.path in mark.begun) for each in left]
            new = [each for each in listing.files if each.path not in read or each.path in again]
            if not new:
                reason = _nothing_new(settings, listing, len(read), len(changed))
                planned = Planned(None, reason, warnings=tuple(listing.warnings), listed=listing.present)
            elif not stream.columns and _tells_nothing(place, new, settings):
                reason = f"No file of {stream.name} has rows yet, which would tell its columns."
                planned = Planned(None, reason, warnings=tuple(listing.warnings), listed=listing.present)
            else:
                planned = _planned(place, listing, new, _names(new, again, len(listing.files)))
            return replace(planned, changed=tuple(each.path for each in changed), touched=touched)

    def plan_sample(self, stream: StreamConfig) -> Planned:
        """As any full refresh, but where no file is whole yet, one that may still grow is tried, too."""
        settings = settings_of(stream)
        with self._opened() as place:
            listing = list_stream(place, settings, frozenset(), now=time.time(), glance=True)
            there = listing.files or listing.left
            if not there:
                raise _missing(stream, settings, listing)
            return _planned(place, listing, there, _all_of(there))

    def listed(self, streams: Sequence[StreamConfig]) -> dict[str, tuple[FileRef, ...]]:
        """The files of each of these streams, by its name; all told by one look at the place. Raises ManifoldError."""
        with self._opened(sample=True) as place:
            now = time.time()
            return {each.name: _there(place, settings_of(each), now) for each in streams}

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...] | None:
        with self._opened(sample=True) as place:
            settings = settings_of(stream)
            shape = Shape(place, settings, stream.columns, lambda: connector_instance(memory=_PREVIEW_MEMORY))
            for each in chosen(files, settings, local=place.local):
                shape.look(each)
            return shape.columns()

    def looked_again(self, info: StreamInfo, given: Mapping[str, Any]) -> StreamInfo:
        """A stream that was found, as it is when its files are read by these settings; the others are found anew.

        Raises ManifoldError.
        """
        given = implied(given)
        anew = VALUES | DIALECT if info.settings.get("format") in ("csv", "tsv") else VALUES
        kept = {name: each for name, each in info.settings.items() if name not in anew}
        settings = settings_of(StreamConfig(info.name, settings={**kept, **given}))
        with self._opened(sample=True) as place, connector_instance(memory=_PREVIEW_MEMORY) as connection:
            listing = list_stream(place, settings, frozenset(), now=time.time(), glance=True)
            with duckdb_errors():
                seen = Look(place, connection).declared([*listing.files, *listing.left], settings)
        found = {**info.settings, **seen.settings, **given}
        return replace(info, columns=seen.columns, settings=found, warnings=tuple(seen.warnings))

    def values(self, stream: StreamConfig, file: FileRef) -> dict[str, frozenset[str]]:
        with self._opened(sample=True) as place:
            return values_of(place, file, settings_of(stream)) if place.local else {}

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        with self._reading(stream, window, connection, sample=False) as reading:
            yield reading

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        return self.previewed(stream, limit).table

    def previewed(self, stream: StreamConfig, limit: int = 50) -> Previewed:
        settings = settings_of(stream)
        with self._opened(sample=True) as place:
            listing = list_stream(place, settings, frozenset(), now=time.time(), glance=True)
        there = [*listing.files, *listing.left]
        if not there:
            raise _missing(stream, settings, listing)
        window = Window("files", files=tuple(there[:1]))
        with (
            connector_instance(memory=_PREVIEW_MEMORY, ordered=True) as connection,
            self._reading(stream, window, connection, sample=True) as reading,
        ):
            return first_of(connection, next(iter(reading.in_parts())), limit)

    @contextmanager
    def _reading(
        self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection, *, sample: bool
    ) -> Iterator[Reading]:
        settings = settings_of(stream)
        with (
            tempfile.TemporaryDirectory(dir=spill_folder(connection), prefix="manifold-files-") as copies,
            self._opened(sample=sample, within=spill_folder(connection)) as place,
        ):
            refs = window.files
            if window.kind == "full":
                refs = tuple(list_stream(place, settings, frozenset(), now=time.time()).files)
            declared = stream.columns or Look(place, connection).declared(refs, settings).columns
            files = Files(place, stream, settings, tuple(declared), connection, copies, sample)
            total = sum(each.size for each in refs)
            yield Reading(
                "", _chosen(stream, declared), total_bytes=total, parts=files.parts(refs), warnings=files.warnings
            )


def _there(place: Place, settings: FileSettings, now: float) -> tuple[FileRef, ...]:
    try:
        return list_stream(place, settings, frozenset(), now=now).present
    except FilesRefused as refused:
        return refused.listed


def _planned(place: Place, listing: Listing, files: Sequence[FileRef], reason: str) -> Planned:
    window = Window("files", files=tuple(files))
    return Planned(
        window,
        reason,
        rows=listing.rows(place, files),
        bytes=sum(each.size for each in files),
        warnings=tuple(listing.warnings),
        listed=listing.present,
    )


def _tells_nothing(place: Place, files: Sequence[FileRef], settings: FileSettings) -> bool:
    """Whether all of these are files of JSON without a key. One that cannot be read tells so when it is read."""
    if any(format_of(each.path, settings) not in ("json", "ndjson") for each in files):
        return False
    try:
        with connector_instance(memory=_PREVIEW_MEMORY) as connection, duckdb_errors():
            look = Look(place, connection)
            return not any(look.declared([each], settings).columns for each in files)
    except ManifoldError:
        return False


def _all_of(files: Sequence[FileRef]) -> str:
    return f"{files[0].path}, the only file, is read." if len(files) == 1 else f"All {len(files)} files are read."


def _names(files: Sequence[FileRef], again: Collection[str], of: int) -> str:
    """What is read, of so many files. again: those of them that were read before, and have changed."""
    shown = ", ".join(each.path for each in files[:3]) + (" and others" if len(files) > 3 else "")
    old = len(again)
    new = len(files) - old
    said = [f"{new} {'is' if new == 1 else 'are'} new"] if new else []
    said += [f"{old} {'has' if old == 1 else 'have'} changed since being read"] if old else []
    return f"Of {of} {'file' if of == 1 else 'files'} {' and '.join(said)}: {shown}."


def _nothing_new(settings: FileSettings, listing: Listing, read: int, changed: int) -> str:
    known = [f"{read} {'was' if read == 1 else 'were'} read before"] if read else []
    known += [f"{changed} of them {'has' if changed == 1 else 'have'} changed since"] if changed else []
    known += [f"{len(listing.unsettled)} may not be whole yet"] if listing.unsettled else []
    return "; ".join([f"No new file fits {', '.join(settings.pattern)}", *known]) + "."


def _missing(stream: StreamConfig, settings: FileSettings, listing: Listing) -> DataError:
    remedy = f"Put the files there, or correct the pattern of {stream.name}."
    if listing.left:
        remedy = (
            "Those that do are set aside, or still being written. Run again once one is whole, or stop ignoring one."
        )
    return DataError(
        f"No file fits {', '.join(settings.pattern)}. {remedy}",
        code="files_missing",
        evidence={"pattern": list(settings.pattern), "others": listing.others[:_LISTED]},
    )


def _not_whole(paths: Sequence[str]) -> TransientError:
    # What is in an archive is said at its end, so that none is read as it is.
    archives = all(each.lower().endswith(ARCHIVE) for each in paths)
    as_it_is = "set the stream's settle_seconds to 0, which reads a file as it is"
    return TransientError(
        f"{', '.join(paths[:_LISTED])} {'is' if len(paths) == 1 else 'are'} still being written, and a full refresh "
        f"would lack the rows. Wait until no program writes there, or {'take it away' if archives else as_it_is}.",
        code="file_unsettled",
        evidence={"files": list(paths[:_LISTED])},
    )


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
