"""A transaction that outlives a restart of the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")


def persistently(write: Callable[[], Answer]) -> Answer:
    """Do a guarded write, again while the database cannot be reached, for as long as a lease lasts.

    `write` is one transaction that finds out by itself whether it has been done: a connection may break after the
    commit and before the answer. Raises the last error when the time is over.
    """
    give_up = time.monotonic() + settings.LEASE_SECONDS
    pause = 0.1
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() + pause > give_up:
                raise
            log.warning("database_write_repeated", error=str(error).partition("\n")[0])
            connection.close()
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
