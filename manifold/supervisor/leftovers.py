"""Processes that a killed `manifold up` left running: found again by number and start time, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from typing import Any

import psutil

Recorded = dict[str, Any]


def record(pid: int) -> Recorded:
    """What identifies a process beyond its number, which the system gives out again."""
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "started": 0.0}


def members(recorded: Recorded) -> list[psutil.Process]:
    """The living processes of a recorded child: itself and what it forked, which share its process group.

    When the number belongs to a process with another start time, it has been given out again and nothing is ours. When
    the leader is gone its number cannot have been given out while the group lives, so the rest of the group is ours.
    """
    pid, started = int(recorded["pid"]), float(recorded["started"])
    try:
        if abs(psutil.Process(pid).create_time() - started) > 1:
            return []
    except psutil.NoSuchProcess:
        pass
    return [process for process in psutil.process_iter() if _in_group(process, pid, started)]


def _in_group(process: psutil.Process, group: int, started: float) -> bool:
    try:
        return (
            os.getpgid(process.pid) == group
            and process.create_time() >= started - 1
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False


def stop(recorded: Iterable[Recorded], number: signal.Signals = signal.SIGTERM, seconds: float = 8) -> int:
    """Ask the processes to end, and kill those that do not within the time. Returns how many there were."""
    found = [process for each in recorded for process in members(each)]
    for process in found:
        _send(process, number)
    _, alive = psutil.wait_procs(found, timeout=seconds)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
    return len(found)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil compares the start time once more
