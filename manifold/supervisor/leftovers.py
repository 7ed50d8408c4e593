"""Processes that a killed `manifold up` left running: found again by number and start time, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import time
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
    for process in _wait(found, seconds):
        _send(process, signal.SIGKILL)
    _wait(found, 5)
    return len(found)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run when the time is over. A process whose parent has not yet asked for its status has ended."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if _runs(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.02)
        alive = [process for process in alive if _runs(process)]
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)  # psutil compares the start time once more
