"""A folder of this machine: below an allowed root, without links that lead out, and what lies in it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Sequence
from pathlib import Path

from dataplane.connectors.files.found import Found, gone
from dataplane.connectors.files.place import MAX_FILES, Near, Work, too_many
from dataplane.connectors.files.roots import allowed, below, unreadable
from dataplane.errors import ConfigurationError

_MOUNTS = "/proc/self/mountinfo"
# Their clients refuse a lease of any file that the server has not lent them, whoever writes.
_DRIVES = frozenset({"nfs4", "cifs", "smb3"})


class Folder(Near):
    """A folder that a source names; opening it looks whether it may be read."""

    def __init__(self, path: str, roots: Sequence[str]) -> None:
        self.shown = path
        self.real = ""
        self._roots = roots

    def steps(self) -> Sequence[Work]:
        return [("resolve", self._resolve)]

    def files(self) -> tuple[list[Found], list[str]]:
        """Every file below by path, hidden ones left out; and a sentence for each of the others that is left out."""
        found: list[Found] = []
        warnings: list[str] = []
        for folder, folders, names in os.walk(self.real, onerror=self._unreadable):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for name in names:
                if name.startswith("."):
                    continue
                absolute = os.path.join(folder, name)
                relative = Path(absolute).relative_to(self.real).as_posix()
                try:
                    status = os.stat(absolute)
                except FileNotFoundError:
                    # Else it went away at this moment.
                    if os.path.islink(absolute) and _is_text(relative):
                        warnings.append(f"{relative} is a link to a file that is not there; it is not read.")
                    continue
                except OSError as error:
                    self._unreadable(error)
                    continue
                if why := self._left_out(absolute, relative, status.st_mode):
                    warnings.append(why)
                else:
                    found.append(Found(relative, absolute, status.st_size, status.st_mtime_ns))
            if len(found) > MAX_FILES:
                raise too_many(self.shown)
        return sorted(found, key=lambda each: each.path), warnings

    def _left_out(self, absolute: str, relative: str, mode: int) -> str:
        """Why a file is not listed, in a sentence; nothing where it is."""
        if not _is_text(relative):
            return f"{relative!r} has a name that is not UTF-8; it is not read. Rename it."
        if os.path.islink(absolute) and not self._inside(absolute):
            return f"{relative} is a link that leads out of the folder; it is not read."
        # Opening a pipe waits for whoever writes into it, maybe for ever.
        if not stat.S_ISREG(mode):
            return f"{relative} is a pipe, a socket or a device; only files are read."
        return ""

    def find(self, path: str) -> Found:
        """One file as it is now. Raises DataError when it is gone, ConfigurationError when it leads out."""
        absolute = os.path.join(self.real, path)
        if not self._inside(absolute):
            raise ConfigurationError(
                f"{path} leads out of the folder {self.shown}. Put the file itself there, not a link.",
                code="path_not_allowed",
                evidence={"file": path},
            )
        try:
            status = os.stat(absolute)
        except FileNotFoundError:
            raise gone(path) from None
        except OSError as error:
            raise unreadable(path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise gone(path)
        return Found(path, absolute, status.st_size, status.st_mtime_ns)

    def being_written(self, found: Found) -> bool:
        return _being_written(found.absolute)

    def _inside(self, absolute: str) -> bool:
        return below(os.path.realpath(absolute), self.real)

    def _unreadable(self, error: OSError) -> None:
        raise unreadable(os.path.relpath(str(error.filename), self.real), error)

    def _resolve(self) -> str:
        """Raises ConfigurationError when the folder is missing, no folder, not readable or below no allowed root."""
        self.real = _resolved(self.shown, self._roots)
        return "The folder exists, is below an allowed one, and may be read."


def _being_written(absolute: str) -> bool:
    """Whether a file is open for writing: Linux gives no lease for reading it then, to its owner or an administrator.

    Where nobody can tell (another system or owner, network drives) it is not.
    """
    try:
        file = os.open(absolute, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Who wants to write meanwhile waits until the lease has gone. The signal that tells of it would end this one.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN and not _on_a_drive(os.fstat(file).st_dev)
    except AttributeError:  # These leases are Linux's own.
        return False
    finally:
        os.close(file)
    return False


def _on_a_drive(device: int) -> bool:
    """Whether a file of this device lies on a network drive."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open(_MOUNTS, errors="replace") as mounts:
        kinds = [line.partition(" - ")[2].split()[0] for line in mounts if line.split()[2] == wanted]
    return not _DRIVES.isdisjoint(kinds)


def _is_text(path: str) -> bool:
    """Whether its bytes are UTF-8: what is not could be kept and shown nowhere."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _resolved(path: str, roots: Sequence[str]) -> str:
    chosen = allowed(path, roots, "folder")
    if not os.path.exists(chosen):
        raise ConfigurationError(
            f"The folder {path} does not exist. Correct the path, or create the folder.", code="path_missing"
        )
    if not os.path.isdir(chosen):
        raise ConfigurationError(
            f"{path} is a file. Name the folder that it lies in; the stream's pattern says which files.",
            code="path_not_a_folder",
        )
    if not os.access(chosen, os.R_OK | os.X_OK):
        raise unreadable(path, PermissionError())
    return chosen
