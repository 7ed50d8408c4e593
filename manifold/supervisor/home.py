"""The data folder of an installation: who holds it, its secrets, its ports, and what it tells the command.

lock             held by the running `manifold up`
secrets/         generated keys, passwords and addresses, 0600
ports.json       the ports of the last start, used again
platform.json    while it runs: address, token, processes (0600)
logs/ postgres/ valkey/ storage/ files/
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from manifold.embedded.binaries import SHARED


class StartError(Exception):
    """The platform cannot start. The text says why and what to do."""


class Home:
    """A data folder that this process holds until it ends."""

    def __init__(self, path: Path) -> None:
        # However it is named, by a link or from below another folder, it is one folder with one database.
        self.path = Path(os.path.realpath(path.expanduser()))
        self.lock: int | None = None

    def hold(self) -> None:
        """Make the folder if needed and take its lock. Raises StartError while another `up` holds it.

        The lock is the kernel's: it is gone with the process that held it, however that ended.
        """
        try:
            # A folder that was there before keeps its rights: it may hold other things. What is secret in it is closed.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"{self.path} cannot be used ({error.strerror}). Name another folder with --home or MANIFOLD_HOME."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            platform = self.platform()
            where = f" at {platform['url']}" if platform.get("url") else ""
            who = f" (process {platform['pid']})" if platform.get("pid") else ""
            raise StartError(
                f"Manifold is already running in {self.path}{where}{who}. "
                "Stop it there with Ctrl-C, or start this one elsewhere with --home."
            ) from None
        self.lock = lock

    def is_held(self) -> bool:
        """Whether a platform runs in this folder now."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def folder(self, name: str) -> Path:
        """A folder inside, made when it is missing, closed to other accounts."""
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        return folder

    def postgres_data(self, *, as_root: bool) -> Path:
        """Where PostgreSQL keeps its data. Its account cannot enter a folder below a closed home of root's."""
        if not as_root:
            return self.path / "postgres"
        own = SHARED / hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        if not own.exists():
            # Versions that went by the name made one for each name of this folder: the one that was used last counts.
            same = [folder for folder, home in self.shared() if os.path.realpath(home) == str(self.path)]
            own = max(same, key=lambda folder: (folder / "home").stat().st_mtime_ns, default=own)
        return own / "postgres"

    def sign_shared(self) -> None:
        """Write beside root's PostgreSQL data whose it is: the name of its folder does not tell."""
        (self.postgres_data(as_root=True).parent / "home").write_text(f"{self.path}\n", encoding="utf-8")

    @staticmethod
    def shared() -> list[tuple[Path, Path]]:
        """The folders of root's PostgreSQL data on this machine, each with the data folder it was made for; to root."""
        signed = sorted(SHARED.glob("*/home")) if os.access(SHARED, os.R_OK | os.W_OK) else []
        found = []
        for each in signed:
            # Whoever removes one meanwhile has taken its sign along.
            with suppress(FileNotFoundError):
                found.append((each.parent, Path(each.read_text(encoding="utf-8").strip())))
        return found

    def secret(self, name: str, *, make: bool = True) -> str:
        """A secret that lasts as long as the folder; generated at the first call."""
        file = self.folder("secrets") / name
        if not file.exists():
            if not make:
                return ""
            key = secrets.token_bytes(32)
            self.keep_secret(name, base64.b64encode(key).decode() if name == "master_key" else key.hex())
        return file.read_text(encoding="utf-8").strip()

    def keep_secret(self, name: str, value: str) -> None:
        """Write a secret so that nobody else may read it, not even for a moment."""
        _write(self.folder("secrets") / name, value + "\n")

    def forget_secret(self, name: str) -> None:
        (self.path / "secrets" / name).unlink(missing_ok=True)

    def ports(self) -> dict[str, int]:
        """The ports of the last start."""
        remembered = _read(self.path / "ports.json")
        return {name: port for name, port in remembered.items() if isinstance(port, int)}

    def remember_ports(self, ports: dict[str, int]) -> None:
        _write(self.path / "ports.json", json.dumps(ports, indent=2) + "\n")

    def platform(self) -> dict[str, Any]:
        """What the running platform has written about itself; empty when none runs or ran to its end."""
        return _read(self.path / "platform.json")

    def write_platform(self, platform: dict[str, Any]) -> None:
        _write(self.path / "platform.json", json.dumps(platform, indent=2) + "\n")

    def remove_platform(self) -> None:
        (self.path / "platform.json").unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: Path, text: str) -> None:
    """Replace a file as a whole; readable by its owner only."""
    descriptor, partial = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        Path(partial).replace(file)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise
