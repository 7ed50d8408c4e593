"""Whoever is at the other end of a connection of a test's server."""

from __future__ import annotations

import os
import signal

import psutil


def kill(port: int) -> None:
    """End the process that is connected from this port of the machine, unless it is this one."""
    for each in psutil.net_connections("tcp"):
        if each.pid and each.pid != os.getpid() and tuple(each.laddr) == ("127.0.0.1", port):
            os.kill(each.pid, signal.SIGKILL)
