"""Under which account the servers run: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifold.embedded.errors import EmbeddedError


@dataclass(frozen=True)
class Account:
    """An unprivileged account that root hands the servers to."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Nobody else (None) for an ordinary user; for root `postgres` if that account exists, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and neither an account `postgres` nor `nobody` exists. "
        "Start Manifold as an ordinary user, or set DATABASE_URL."
    )


def popen_options(account: Account | None) -> dict[str, Any]:
    """Arguments of `subprocess` that run a program as the account, in a folder it can enter."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": [], "cwd": "/"}


def can_run(program: Path, account: Account | None) -> bool:
    """Whether the account reaches the program and the program works on this machine."""
    try:
        done = subprocess.run(
            [str(program), "--version"], capture_output=True, timeout=20, check=False, **popen_options(account)
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def give(path: Path, account: Account | None) -> None:
    """Make the account the owner of a file or folder."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
