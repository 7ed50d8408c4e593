"""The files of a stream, now: by pattern, dated, settled, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from dataplane.connectors.files.encodings import compression_of, head
from dataplane.connectors.files.found import FRESH, Found, still_written
from dataplane.connectors.files.patterns import FilePattern
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.settings import ARCHIVE, FileSettings, format_of
from dataplane.connectors.windows import FileRef, FilesRefused
from dataplane.errors import ManifoldError

_COUNTED = 200


@dataclass
class Listing:
    """What there is.

    files: those to read, by date then path, perhaps by pattern before that. left: fitting files that are ignored or
    still change; the latter are `unsettled`, with archives that are still written. others: paths that do not fit.
    warnings: what was left out, and why. above: lines of delimited text before its rows.
    """

    files: list[FileRef]
    left: list[FileRef] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    above: int = 0

    @property
    def present(self) -> tuple[FileRef, ...]:
        """Every file of the stream, read or left."""
        return (*self.files, *self.left)

    def rows(self, place: Place, files: Sequence[FileRef]) -> int | None:
        """About how many rows these files hold; None where nobody can tell without reading them."""
        if not place.local:
            return None
        try:
            if all(format_of(each.path) == "parquet" for each in files) and len(files) <= _COUNTED:
                return sum(int(pq.read_metadata(place.find(each.path).absolute).num_rows) for each in files)
            found = place.find(files[0].path)
            format_ = format_of(found.path)
            if format_ not in ("csv", "tsv", "ndjson") or compression_of(found.absolute) != "none":
                return None
            above = 0 if format_ == "ndjson" else self.above
            sample = head(found, 1 << 16)
        except (ManifoldError, OSError, ValueError):
            return None
        return _rows(sample, found.size, sum(each.size for each in files), len(files), above)


def _rows(sample: bytes, size: int, total: int, files: int, above: int) -> int | None:
    """About how many rows stand in so many files of so many bytes, by the beginning of one of them."""
    *lines, last = sample.split(b"\n")
    if last and len(sample) >= size:
        lines.append(last)
    rows = lines[above:]
    read = sum(map(len, rows)) + len(rows)
    beside = (sum(map(len, lines[:above])) + above) * files
    return round(max(0, total - beside) * len(rows) / read) if rows else None


def _archives(settings: FileSettings, paths: Iterable[str]) -> list[str]:
    """Those of these archives that belong to the stream: without one of them rows would be missing."""
    archives = [each[: at + 4] for each in settings.pattern if (at := each.lower().find(".zip/")) >= 0]
    patterns = [FilePattern(each) for each in (*archives, *("**" for each in settings.pattern if "**" in each))]
    return [path for path in paths if any(each.match(path) for each in patterns)]


def _unsettled(place: Place, found: Found, settings: FileSettings, age: float) -> str:
    """Why a file that changed so many seconds ago may not be whole yet; nothing where it may."""
    if settings.settle_seconds is None:
        return still_written(found.path) if age < FRESH and place.being_written(found) else ""
    if age < settings.settle_seconds:
        return f"{found.path} was changed a moment ago and is left for the next run."
    return ""


def list_stream(
    place: Place, settings: FileSettings, ignored: frozenset[str], *, now: float, glance: bool = False
) -> Listing:
    """What fits the stream's patterns; ignored files and such as were changed a moment ago are left out.

    An archive that is ignored is left out with all that is in it. Raises FilesRefused where another one of the stream
    cannot be looked into; at a glance, for which any file will do, only where there is no other.
    """
    patterns = [FilePattern(each) for each in settings.pattern]
    places: dict[str, int] = {}
    aside = tuple(f"{each}/" for each in ignored if each.lower().endswith(ARCHIVE))
    found, warnings = place.files()
    warnings = [each for each in warnings if each not in _said_of(place, ignored)]
    above = settings.skip + settings.header
    listing = Listing([], warnings=warnings, above=above, unsettled=_archives(settings, place.unfinished()))
    for each in found:
        if each.path.startswith(aside):
            continue
        turn, match = next(
            ((turn, match) for turn, pattern in enumerate(patterns) if (match := pattern.match(each.path))), (0, None)
        )
        places[each.path] = turn if settings.by_pattern else 0
        if match is None:
            listing.others.append(each.path)
            if any(pattern.nearly(each.path) for pattern in patterns):
                listing.warnings.append(f"{each.path} is left out: the date in its name is none.")
        elif each.path in ignored:
            listing.left.append(each.ref(match.date))
        elif why := _unsettled(place, each, settings, now - each.changed / 1e9):
            listing.warnings.append(why)
            listing.left.append(each.ref(match.date))
            listing.unsettled.append(each.path)
        else:
            listing.files.append(each.ref(match.date))
    listing.files.sort(key=lambda each: (places[each.path], each.file_date or "", each.path))
    refused = [each for each in _archives(settings, place.refused()) if each not in ignored]
    if refused and not (listing.present and glance):
        archives = (place.find(each).ref() for each in refused)
        raise FilesRefused(place.refused()[refused[0]], (*listing.present, *archives))
    return listing


def _said_of(place: Place, ignored: frozenset[str]) -> set[str]:
    """What need not be said any more: that an archive which is ignored cannot be looked into."""
    return {error.message for path, error in place.refused().items() if path in ignored}
