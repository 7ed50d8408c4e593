"""Ports for what a test starts, or for what is to answer nowhere: its own to the end of the process, whoever asks."""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from functools import cache
from pathlib import Path

from manifold.embedded.ports import is_free

# Beside those that a platform chooses for itself, and below those that systems give to whoever asks for any.
_FIRST, _LAST = 12000, 19999
_taken: set[int] = set()


def own_port() -> int:
    """A port of loopback on which nobody listens, and that no other process of tests is given while this one lives."""
    for port in random.sample(range(_FIRST, _LAST + 1), 500):
        if port in _taken or not is_free(port):
            continue
        try:
            # The byte of a file that stands for it. What this process starts does not inherit it.
            fcntl.lockf(_ledger(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except BlockingIOError:
            continue
        _taken.add(port)
        return port
    raise AssertionError(f"no free port among 500 between {_FIRST} and {_LAST}")


@cache
def _ledger() -> int:
    """Stays open: a process that closes such a file gives up all it has locked in it."""
    path = Path(tempfile.gettempdir()) / f"manifold-tests-{os.getuid()}.ports"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
