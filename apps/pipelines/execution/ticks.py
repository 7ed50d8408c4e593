"""What the ticks do: any number of copies may be sent, one at a time works, and doing it twice changes nothing."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.db import InterfaceError, OperationalError, connection


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """Whether this process holds the advisory lock of that name, until the end of the block or of the connection."""
    number = zlib.crc32(f"manifold.{name}".encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            # A connection that broke has let go of the lock already.
            with suppress(OperationalError, InterfaceError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def tick(work: Callable[[], None]) -> Callable[[], None]:
    """Make a function a tick: it returns at once while another copy is at work."""

    @functools.wraps(work)
    def ticked() -> None:
        with alone(work.__qualname__) as mine:
            if mine:
                work()

    return ticked
