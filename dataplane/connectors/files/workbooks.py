"""Excel workbooks: what is in one, looked at without trusting it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from xml.etree import ElementTree
from xml.parsers import expat

from dataplane.connectors.files.bombs import bomb, most_of
from dataplane.connectors.files.encodings import broken
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.roots import unreadable
from dataplane.errors import DataError, Suggestion

# What a workbook may unpack to, and the texts that it shares between cells, which stay in memory while it is read.
_LARGEST = 4 << 30
_LARGEST_SHARED = 256 << 20
_LARGEST_CONTENTS = 4 << 20
_CHUNK = 1 << 20
_LARGEST_DIRECTORY = 16 << 20
_DIRECTORY_SIZE = 5
# Names in lower case: whoever reads a workbook finds its members whatever their case.
_CONTENTS = "xl/workbook.xml"
_SHARED = "xl/sharedstrings.xml"
_MAIN = (
    "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}",
    "{http://purl.oclc.org/ooxml/spreadsheetml/main}",
)
_OLD = b"\xd0\xcf\x11\xe0"


@dataclass(frozen=True)
class Workbook:
    """The names of the visible sheets in their order; from_1904: whether days are counted from 1904 on, as on old
    Macintoshes."""

    sheets: tuple[str, ...]
    from_1904: bool


def workbook_of(found: Found) -> Workbook:
    """What a workbook holds, after every byte of its tables was unpacked once and thrown away.

    Raises DataError for one that is damaged, no workbook, of the old format, or made to exhaust whoever reads it.
    """
    with _archive(found) as archive:
        members = {each.filename.lower(): each for each in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise no_workbook(found.path, "a member of it is there twice")
        if _CONTENTS not in members:
            raise no_workbook(found.path, "its table of contents is missing or of another format (.xlsb)")
        _bounded(found, members)
        for name, each in members.items():
            if name.endswith((".xml", ".rels")):
                _sound(found, archive, each)
        contents = ElementTree.fromstring(archive.read(members[_CONTENTS]))  # noqa: S314 - it was found to declare no entities
        return Workbook(tuple(_visible(contents)), _from_1904(contents))


@contextmanager
def _archive(found: Found) -> Iterator[zipfile.ZipFile]:
    try:
        with open(found.absolute, "rb") as file:
            first = file.read(4)
            if first == _OLD:
                raise no_workbook(found.path, "it is of the old format (.xls), or protected by a password")
            if not first.startswith(b"PK"):
                raise no_workbook(found.path, "it holds something else, whatever its name says")
            bounded_directory(found.path, file)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except FileNotFoundError:
        raise
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ElementTree.ParseError, expat.ExpatError) as error:
        raise broken(found.path, error) from error
    except (NotImplementedError, RuntimeError) as error:
        # A member that is encrypted, or packed in a way of its own.
        raise no_workbook(found.path, "it is packed in a way that no spreadsheet program uses") from error
    except OSError as error:
        raise unreadable(found.path, error) from error
    except Exception as error:
        if type(error).__module__ != "zlib":
            raise
        raise broken(found.path, error) from error


def _bounded(found: Found, members: dict[str, zipfile.ZipInfo]) -> None:
    total = sum(each.file_size for each in members.values())
    shared = members[_SHARED].file_size if _SHARED in members else 0
    contents = members[_CONTENTS].file_size
    if total > _LARGEST or shared > _LARGEST_SHARED or contents > _LARGEST_CONTENTS:
        raise bomb(found.path, f"it unpacks to {total:,} bytes")
    if total > most_of(found.size):
        raise bomb(found.path, f"its {found.size:,} bytes unpack to {total:,}")


def _sound(found: Found, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Unpack a member to its end, which compares its checksum; refuse one that declares a document type.

    Without a document type there are no entities, neither such that grow nor such that name files.
    """
    looking = True

    def refuse(*_: Any) -> None:
        raise no_workbook(found.path, f"{member.filename} declares a document type, which no workbook has")

    def begun(*_: Any) -> None:
        nonlocal looking
        looking = False

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = begun
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            for start in range(0, len(chunk), 4096):
                if not looking:
                    break
                parser.Parse(chunk[start : start + 4096])


def _visible(contents: ElementTree.Element) -> Iterator[str]:
    for namespace in _MAIN:
        for each in contents.iterfind(f"{namespace}sheets/{namespace}sheet"):
            if each.get("state", "visible") == "visible":
                yield each.get("name", "")


def _from_1904(contents: ElementTree.Element) -> bool:
    found = (contents.find(f"{namespace}workbookPr") for namespace in _MAIN)
    return any(each is not None and each.get("date1904", "0") in ("1", "true") for each in found)


def bounded_directory(path: str, file: IO[bytes]) -> None:
    """Raises DataError for an archive whose list of members would fill the memory as soon as it is opened."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # what ZipFile itself begins with
    if end is not None and end[_DIRECTORY_SIZE] > _LARGEST_DIRECTORY:
        raise bomb(path, f"the list of its members has {end[_DIRECTORY_SIZE]:,} bytes")


def no_workbook(path: str, why: str) -> DataError:
    """The error for a file that is called a workbook and is none that can be read."""
    return DataError(
        f"{path} is no Excel workbook that can be read: {why}. Save it as .xlsx without a password, or set it aside.",
        code="workbook_unreadable",
        evidence={"file": path, "why": why},
        suggestions=[Suggestion("ignore_file", f"Set {path} aside", "The run goes on without it.", applicable=True)],
    )
