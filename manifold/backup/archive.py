"""The file of a backup: a tar archive whose last member lists the others with their digests.

database.sql.gz            a plain dump
storage/…                  the data files, where they were asked for
manifest-<sha256>.json     last, so that half a backup has none; its name proves its content
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from manifold.backup.errors import BackupError

FORMAT = 1
DATABASE = "database.sql.gz"
STORAGE = "storage/"

_CHUNK = 1 << 20


class Member(NamedTuple):
    """One file of the archive as the manifest knows it."""

    name: str
    bytes: int
    sha256: str


class Writer:
    """Adds files to an archive that appears under its name when it is whole."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def add(self, name: str, path: Path) -> Member:
        """A file as long as it is now; raises FileNotFoundError where it has gone."""
        with open(path, "rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            reader = _Hashing(file)
            self._put(name, size, reader)
        return Member(name, size, reader.digest.hexdigest())

    def close_with(self, manifest: dict[str, Any]) -> None:
        text = json.dumps(manifest, indent=1).encode()
        self._put(f"manifest-{hashlib.sha256(text).hexdigest()}.json", len(text), io.BytesIO(text))

    def _put(self, name: str, size: int, file: Any) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._tar.addfile(entry, file)


class _Hashing:
    """A reader that knows the digest of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk


def listed(name: str, path: Path) -> Member:
    """A file that is not put into the archive, as the manifest knows it."""
    with open(path, "rb") as file:
        return Member(name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """Write beside the target, readable by its owner only, and give it its name in the end."""
    if target.exists():
        raise BackupError(f"{target} exists already. Name another file, or remove that one.")
    partial = target.with_name(target.name + ".part")
    try:
        partial.touch(mode=0o600)
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            yield Writer(tar)
        partial.replace(target)
    except OSError as error:
        raise BackupError(f"{error.filename or target}: {error.strerror}. Make room, or name another file.") from error
    finally:
        partial.unlink(missing_ok=True)


class Archive:
    """A backup that is being read. Raises BackupError for a file that is none, or is not as it was written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115  closed by `close`
            self._members = {each.name: each for each in self._tar.getmembers()}
        except FileNotFoundError as error:
            raise BackupError(f"There is no file {path}.") from error
        except (tarfile.TarError, OSError, EOFError) as error:
            raise self.damaged("it is no archive, or its end is missing") from error
        self.manifest = self._read_manifest()

    def damaged(self, why: str) -> BackupError:
        return BackupError(f"{self.path} is damaged: {why}. Take another copy of it, or another backup.")

    def close(self) -> None:
        self._tar.close()

    def check(self) -> None:
        """Read everything once and compare it with the manifest."""
        listed = {each.name: each for each in self.members}
        there = {name for name in self._members if not name.startswith("manifest-")}
        if there != set(listed):
            raise self.damaged(f"it lacks or adds {', '.join(sorted(there ^ set(listed))[:3])}")
        for each in listed.values():
            digest = hashlib.sha256()
            with self.open(each.name) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != each.sha256:
                raise self.damaged(f"{each.name} is not what was written")

    @property
    def members(self) -> list[Member]:
        """What the archive has to hold."""
        files = self.manifest["storage"] if self.manifest["files_included"] else []
        return [Member(*self.manifest["database"]), *(Member(*each) for each in files)]

    @property
    def files(self) -> list[Member]:
        """The data files that belong to the database, whether they are in the archive or not."""
        found = [Member(*each) for each in self.manifest["storage"]]
        for each in found:
            pure = PurePosixPath(each.name)
            if not each.name.startswith(STORAGE) or ".." in pure.parts:
                raise self.damaged(f"{each.name} leaves the storage folder")
        return found

    def open(self, name: str) -> IO[bytes]:
        member = self._members[name]
        file = self._tar.extractfile(member) if member.isreg() else None
        if file is None:
            raise self.damaged(f"{name} is no ordinary file")
        return file

    def _read_manifest(self) -> dict[str, Any]:
        name = next((each for each in self._members if each.startswith("manifest-")), None)
        if name is None:
            raise self.damaged("it has no manifest, so it was never finished")
        with self.open(name) as file:
            text = file.read()
        if name != f"manifest-{hashlib.sha256(text).hexdigest()}.json":
            raise self.damaged("its manifest was altered")
        manifest: dict[str, Any] = json.loads(text)
        if manifest["format"] != FORMAT:
            raise BackupError(
                f"{self.path} was made by a newer Manifold (format {manifest['format']}, this one reads {FORMAT}). "
                "Upgrade Manifold first."
            )
        return manifest
