"""Files that are not as they were when they were read, and what the stream says about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import xxhash

from dataplane.connectors.files.place import Place
from dataplane.connectors.windows import FileRef
from dataplane.errors import DataError, ManifoldError, Suggestion

_CHUNK = 1 << 20
_NAMED = 100


def changed(
    place: Place, files: Sequence[FileRef], read: Mapping[str, FileRef], touched: Sequence[FileRef] = ()
) -> tuple[list[FileRef], tuple[FileRef, ...]]:
    """The files that have changed since they were read, and those that were only touched since, with their digest.

    A file of this machine is known again by its bytes; elsewhere its time, size and version have to do. `touched` are
    those of which this was found before: they are not read for it again.
    """
    suspects = [each for each in files if each.path in read and read[each.path].state != each.state]
    if not place.local:
        return suspects, ()
    found = {(each.path, each.state): each.digest for each in touched}
    same: list[FileRef] = []
    for each in suspects:
        before, known = read[each.path], found.get((each.path, each.state))
        if not before.digest or each.size != before.size:
            continue
        if known == before.digest or (not known and _same(place, each, before)):
            same.append(replace(each, digest=before.digest))
    paths = {each.path for each in same}
    return [each for each in suspects if each.path not in paths], tuple(same)


def stopped(stream: str, files: Sequence[FileRef]) -> DataError:
    """The error of a stream whose files may not change."""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return DataError(
        f"{files[0].path}{more} of {stream} has changed since it was read, and the stream says to stop then. Put it "
        "back as it was, set it aside, or read everything again with mode seed.",
        code="file_changed_since",
        evidence={"stream": stream, "files": [each.path for each in files[:_NAMED]]},
        suggestions=[
            Suggestion("ignore_files", "Set these files aside", "The run goes on without them.", applicable=True),
            Suggestion(
                "seed",
                "Read everything again",
                "Replaces the datasets with what the sources hold now.",
                applicable=True,
            ),
        ],
    )


def told(file: FileRef, *, begun: bool) -> str:
    """What is said of a file that has changed and is left as it was read. begun: no load has taken it yet."""
    if begun:
        return (
            f"{file.path} has changed since a run began to read it, and no load has taken it: it is read as it is now "
            "when what that run began is repeated."
        )
    return (
        f"{file.path} has changed since it was read and is not read again: its rows would come twice. "
        "Run with mode repair to read it again where its load merges by a key, else with mode seed, which reads "
        "everything anew."
    )


def _same(place: Place, now: FileRef, before: FileRef) -> bool:
    """Whether a file has the bytes that it had. One that cannot be read has not: reading it tells why."""
    try:
        here = place.fetch(place.find(now.path))
        try:
            return _digest(here.absolute) == before.digest
        finally:
            place.release([now.path])
    except (ManifoldError, OSError):
        return False


def _digest(absolute: str) -> str:
    digest = xxhash.xxh3_128()
    with open(absolute, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
