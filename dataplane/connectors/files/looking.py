"""What is found where files lie: the streams that they make, and the columns and settings of each."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import duckdb

from dataplane.connectors.files.found import Found
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.settings import ARCHIVE, FileSettings, Format, format_of
from dataplane.connectors.files.sniff import Sniffed, sniff
from dataplane.connectors.files.suggest import Suggestion, named_with, suggestions
from dataplane.connectors.files.workbooks import workbook_of
from dataplane.connectors.schema import StreamInfo
from dataplane.connectors.windows import FileRef
from dataplane.errors import ConfigurationError, DataError
from dataplane.failures import duckdb_errors

_SNIFFED_FILES = 5
NOT_LOOKED_AT = (
    "Its columns were not looked at: the source holds too many streams to look at in one go. They are found when it is "
    "chosen by name, else when it is read."
)

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Look:
    """A look at what lies in an open place."""

    place: Place
    connection: duckdb.DuckDBPyConnection

    def streams(self, names: Collection[str] | None, patience: float, begun: Mapping[str, Any]) -> list[StreamInfo]:
        """All streams, or those of these names, each with the settings that it is begun with. After so many seconds no
        further one is looked into."""
        found, left = self.place.files()
        until = time.monotonic() + patience
        infos: list[StreamInfo] = []
        for suggested in suggestions(found):
            for each, sheet in self._sheets(suggested):
                if names is not None and each.name not in names:
                    continue
                late = bool(infos) and time.monotonic() > until
                seen = Sniffed((), {}, [NOT_LOOKED_AT]) if late else self._seen(each, sheet)
                # What is said of an archive is said once, of a stream that comes out of it if there is one.
                mine = [said for said in left if _about(said, each)]
                left = [said for said in left if said not in mine]
                infos.append(_info(each, seen, tuple(mine), sheet, begun))
        infos[:1] = [replace(each, warnings=(*left, *each.warnings)) for each in infos[:1]]
        return infos

    def declared(self, refs: Sequence[FileRef], settings: FileSettings) -> Sniffed:
        """What the files themselves have, for a stream that declares no columns."""
        if not refs:
            return Sniffed(())
        format_ = format_of(refs[0].path, settings)
        if format_ is None:
            raise _format_unknown(refs[0].path)
        files = [self.place.find(each.path) for each in _spread(refs)]
        return self._sniffed(files, format_, declared=settings)

    def _sheets(self, found: Suggestion) -> Iterator[tuple[Suggestion, str | None]]:
        """A suggestion for each sheet where workbooks have several, going by the first of them."""
        names: tuple[str, ...] = ()
        if found.format == "excel" and found.files[0].size:
            here = self.place.fetch(found.files[0])
            try:
                names = workbook_of(here).sheets
            except DataError:
                pass  # It is told where the stream itself is looked at.
            finally:
                self.place.release([here.path])
        if len(names) < 2:
            yield found, None
        for name in names if len(names) > 1 else ():
            yield replace(found, name=named_with(found.name, name)), name

    def _seen(self, found: Suggestion, sheet: str | None) -> Sniffed:
        try:
            with duckdb_errors():
                return self._sniffed(_spread(found.files), found.format, sheet=sheet)
        except (DataError, ConfigurationError) as error:
            # One file that cannot be read must not hide the streams beside it.
            return Sniffed((), {}, [error.message])

    def _sniffed(
        self,
        files: Sequence[Found],
        format_: Format,
        *,
        declared: FileSettings | None = None,
        sheet: str | None = None,
    ) -> Sniffed:
        # Files that have to be brought here first are looked at sparingly.
        chosen = files if self.place.local else [*files[:1], *files[1:][-1:]]
        here = [self.place.fetch(each) for each in chosen]
        try:
            return sniff(self.connection, here, format_, declared=declared, sheet=sheet)
        finally:
            self.place.release(each.path for each in here)


def _info(
    found: Suggestion, seen: Sniffed, warnings: tuple[str, ...], sheet: str | None, begun: Mapping[str, Any]
) -> StreamInfo:
    size = sum(each.size for each in found.files)
    title = f"{found.pattern}, {len(found.files)} file{'s' if len(found.files) != 1 else ''}"
    title += f", sheet {sheet}" if sheet else ""
    settings = {"pattern": [found.pattern], "format": found.format, **begun}
    return StreamInfo(
        found.name,
        seen.columns,
        title=title,
        bytes=size,
        settings={**settings, **seen.settings},
        warnings=(*warnings, *seen.warnings),
    )


def _about(said: str, stream: Suggestion) -> bool:
    """Whether a warning is about an archive from which files of the stream come."""
    parts = (each.path.lower().partition(f"{ARCHIVE}/") for each in stream.files)
    return any(f"{archive}{ARCHIVE}" in said.lower() for archive, within, _ in parts if within)


def _format_unknown(path: str) -> ConfigurationError:
    return ConfigurationError(
        f"Nothing tells in which format {path} is written. Choose the format in the stream's settings.",
        code="format_unknown",
        evidence={"file": path},
    )


def _spread(files: Sequence[_Item]) -> list[_Item]:
    """At most a few of the files, from the first to the last."""
    if len(files) <= _SNIFFED_FILES:
        return list(files)
    step = (len(files) - 1) / (_SNIFFED_FILES - 1)
    return [files[round(position * step)] for position in range(_SNIFFED_FILES)]
