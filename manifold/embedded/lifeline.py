"""Servers that go when their parent is gone, even when it was killed."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: loading a library between fork and exec may deadlock.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def ask_for_death_signal(number: signal.Signals) -> None:
    """From now on the kernel sends this process the signal when its parent dies. Only Linux knows this."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def before_exec(number: signal.Signals) -> Callable[[], None]:
    """The same for a program that is about to be executed (`preexec_fn`)."""

    def prepare() -> None:
        ask_for_death_signal(number)

    return prepare
