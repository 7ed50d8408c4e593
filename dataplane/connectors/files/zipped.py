"""ZIP archives of a place on this machine: their members are files like others, unpacked one by one to be read.

What an archive says of itself is not believed. Members get names of our own here, no member of an archive is itself
looked into as an archive, and nothing is unpacked to more than it promised.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from dataplane.connectors.files.bombs import bomb, most_of
from dataplane.connectors.files.encodings import broken
from dataplane.connectors.files.found import FRESH, Found, gone, still_written
from dataplane.connectors.files.place import Copying, Place, Work
from dataplane.connectors.files.remote import SAMPLE, bounded, by_lines, sound, whole_lines
from dataplane.connectors.files.roots import unreadable
from dataplane.connectors.files.settings import ARCHIVE
from dataplane.connectors.files.workbooks import bounded_directory
from dataplane.engine import disk_error
from dataplane.errors import DataError

MOST_MEMBERS = 10_000
LARGEST = 64 << 30
_CHUNK = 1 << 20
_LOCAL_HEADER = 30
_INSIDE = re.compile(r"\.zip/", re.IGNORECASE)


class Unzipped(Copying):
    """A place whose archives are looked into. sample: the beginning of a large member of lines is enough."""

    local = True

    def __init__(self, place: Place, *, sample: bool, within: str | None) -> None:
        super().__init__(within)
        self._place = place
        self._sample = sample
        self._refused: dict[str, DataError] = {}
        self._unfinished: list[str] = []

    def steps(self) -> Sequence[Work]:
        return self._place.steps()

    def files(self) -> tuple[list[Found], list[str]]:
        there, warnings = self._place.files()
        found: list[Found] = []
        self._refused, self._unfinished = {}, []
        for each in there:
            if not each.path.lower().endswith(ARCHIVE):
                found.append(each)
                continue
            if time.time() - each.changed / 1e9 < FRESH and self.being_written(each):
                # What is in it is said at its end.
                self._unfinished.append(each.path)
                warnings.append(still_written(each.path))
                continue
            try:
                with _opened(each) as archive:
                    members, left = _members(each, archive)
            except DataError as error:
                self._refused[each.path] = error
                warnings.append(error.message)
                continue
            found += [_found(each, member) for member in members]
            warnings += left
            bounded(found, "of the source with its archives")
        return sorted(found, key=lambda each: each.path), warnings

    def refused(self) -> Mapping[str, DataError]:
        return self._refused

    def unfinished(self) -> Collection[str]:
        return self._unfinished

    def find(self, path: str) -> Found:
        inside = self._inside(path)
        if inside is None:
            return self._place.find(path)
        archive, member = inside
        with _opened(archive) as opened:
            return _found(archive, _member(opened, member, path))

    def being_written(self, found: Found) -> bool:
        return bool(found.absolute) and self._place.being_written(found)

    def fetch(self, found: Found) -> Found:
        inside = None if found.absolute else self._inside(found.path)
        if inside is None:
            return self._place.fetch(found)
        self.release([found.path])
        archive, name = inside
        with _opened(archive, shown=found.path) as opened:
            _members(archive, opened)
            target = self._unpacked(opened, _member(opened, name, found.path), found)
        self._copies[found.path] = target
        return replace(found, absolute=target)

    def close(self) -> None:
        self._place.close()
        super().close()

    def _inside(self, path: str) -> tuple[Found, str] | None:
        """The archive and the name of the member in it; None for a file that lies in no archive."""
        for at in _INSIDE.finditer(path):
            try:
                archive = self._place.find(path[: at.end() - 1])
            except DataError:
                continue
            # A folder may be called so, too.
            if os.path.isfile(archive.absolute):
                return archive, path[at.end() :]
        return None

    def _unpacked(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, found: Found) -> str:
        part = self._sample and member.file_size > SAMPLE and by_lines(found.path)
        try:
            target = self._target(SAMPLE if part else member.file_size)
            # It ends at the promised size, and the checksum is compared there.
            with open(target, "xb") as out, archive.open(member) as source:
                while (chunk := source.read(_CHUNK)) and not (part and out.tell() >= SAMPLE):
                    out.write(chunk)
            if part:
                whole_lines(target)
        except OSError as error:
            # What bzip2 cannot unpack is told as one, without a number.
            if error.errno is None:
                raise broken(found.path, error) from error
            raise disk_error(error) from error
        return target


@contextmanager
def _opened(found: Found, shown: str = "") -> Iterator[zipfile.ZipFile]:
    """An archive. shown: what an error names, if not the archive itself."""
    shown = shown or found.path
    try:
        with open(found.absolute, "rb") as file:
            bounded_directory(shown, file)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except FileNotFoundError:
        raise gone(shown) from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise broken(shown, error) from error
    except NotImplementedError as error:
        raise DataError(
            f"{shown} is packed in a way that is not known here. Pack it again with deflate, or set it aside.",
            code="zip_method",
            evidence={"file": shown, "detail": str(error)},
        ) from error
    except OSError as error:
        raise unreadable(shown, error) from error


def _members(found: Found, archive: zipfile.ZipFile) -> tuple[list[zipfile.ZipInfo], list[str]]:
    """The members that are files, and a sentence for each that is left out. Raises DataError for an archive that is
    made to exhaust whoever unpacks it."""
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise bomb(found.path, f"it holds {len(infos):,} files")
    total = sum(each.file_size for each in infos)
    if total > LARGEST or total > most_of(found.size):
        raise bomb(found.path, f"its {found.size:,} bytes unpack to {total:,}")
    _apart(found, archive, infos)
    members: dict[str, zipfile.ZipInfo] = {}
    left: list[str] = []
    for each in infos:
        name = each.filename
        if each.is_dir() or _hidden(name):
            continue
        why = _unfit(each) or ("it is there twice" if name in members else "")
        if why:
            left.append(f"A member of {found.path} is left out, {name[:80]!r}: {why}.")
        else:
            members[name] = each
    return list(members.values()), left


def _apart(found: Found, archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo]) -> None:
    """Raises DataError where members share bytes: a few of them then unpack to any size."""
    end = 0
    for each in sorted(infos, key=lambda one: one.header_offset):
        if each.header_offset < end:
            raise bomb(found.path, "its members overlap")
        end = each.header_offset + _LOCAL_HEADER + each.compress_size
    if end > archive.start_dir:
        raise bomb(found.path, "its members overlap")


def _unfit(member: zipfile.ZipInfo) -> str:
    if not sound(member.filename):
        return "its name leads elsewhere"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link"
    return "it is protected by a password" if member.flag_bits & 1 else ""


def _hidden(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(each.startswith(".") and each != ".." for each in parts)


def _member(archive: zipfile.ZipFile, name: str, path: str) -> zipfile.ZipInfo:
    # The first of that name, as it was listed.
    found = next((each for each in archive.infolist() if each.filename == name), None)
    if found is None or _unfit(found):
        raise gone(path)
    return found


def _found(archive: Found, member: zipfile.ZipInfo) -> Found:
    """A member as a file: its own time and checksum tell its state, so that a member that is added changes no other."""
    try:
        moment = datetime(*member.date_time, tzinfo=UTC)
    except ValueError:
        moment = datetime(1980, 1, 1, tzinfo=UTC)
    return Found(
        f"{archive.path}/{member.filename}",
        "",
        member.file_size,
        int(moment.timestamp()) * 1_000_000_000,
        f"crc32:{member.CRC:08x}",
    )
