"""One storage root. A path is written once and never overwritten; what counts is decided by rows, never by listings."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dataplane.errors import ConfigurationError


class Storage:
    """A local folder (`file:///…`) that holds every Parquet file of an installation.

    Paths are relative, with forward slashes, and may not leave the root.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "file" or not parts.path.startswith("/"):
            raise ConfigurationError(
                f"The storage address {parts.scheme or url!r} is not supported; use file:///an/absolute/folder.",
                code="storage_url",
            )
        self.root = Path(unquote(parts.path))

    def absolute(self, path: str) -> str:
        """Where DuckDB finds a path. Raises ConfigurationError for a path that leaves the root."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise ConfigurationError(f"The path {path!r} leaves the storage root.", code="storage_path")
        return str(self.root / pure)

    def new_folder(self, path: str) -> str:
        """Create a folder that must not exist yet below an existing or new parent; returns its absolute path."""
        folder = Path(self.absolute(path))
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        return str(folder)

    def sha256(self, path: str) -> str:
        """Hex digest of a file's bytes."""
        with open(self.absolute(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def link(self, path: str, target: str) -> None:
        """Give a file a second name of its own; a copy where the file system cannot. `target` must be new."""
        absolute = self.absolute(target)
        os.makedirs(os.path.dirname(absolute), exist_ok=True)
        try:
            os.link(self.absolute(path), absolute)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK):
                raise
            with open(self.absolute(path), "rb") as source, open(absolute, "xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)

    def size(self, path: str) -> int:
        return os.stat(self.absolute(path)).st_size

    def exists(self, path: str) -> bool:
        return os.path.exists(self.absolute(path))

    def flush(self, path: str) -> None:
        """Force a file, and its folder's entry for it, to disk."""
        absolute = self.absolute(path)
        for name in (absolute, os.path.dirname(absolute)):
            descriptor = os.open(name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, path: str) -> None:
        """Remove a file or a whole folder; one that is gone already is fine."""
        absolute = self.absolute(path)
        if os.path.isdir(absolute):
            shutil.rmtree(absolute, ignore_errors=True)
        else:
            Path(absolute).unlink(missing_ok=True)

    def walk(self, prefix: str) -> Iterator[str]:
        """Relative paths of the files below a prefix, for collecting strays."""
        for folder, _, names in os.walk(self.absolute(prefix)):
            for name in names:
                yield Path(folder, name).relative_to(self.root).as_posix()
