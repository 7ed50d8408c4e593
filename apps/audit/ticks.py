"""What the ticks do: any number of copies may be sent, one at a time works, and doing it twice changes nothing."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
import structlog
from django.db import connection

log = structlog.get_logger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Longer than ticks last. No longer than this does a frozen process keep the others from a tick.
_HELD_SECONDS = 900
_TAKE = "SELECT pg_try_advisory_xact_lock(%s), set_config('idle_in_transaction_session_timeout', %s, true)"


def lock_number(name: str) -> int:
    """The number under which PostgreSQL knows the advisory lock of that name."""
    return zlib.crc32(f"manifold.{name}".encode())


@contextmanager
def alone(name: str) -> Iterator[bool]:
    """Whether this process holds the advisory lock of that name, until the end of the block.

    A transaction of its own holds it, not a session: a pooler before the database gives each transaction another one.
    """
    with connection.wrap_database_errors:
        own = psycopg.connect(**connection.get_connection_params())
    try:
        with connection.wrap_database_errors:
            row = own.execute(_TAKE, [lock_number(name), f"{_HELD_SECONDS}s"]).fetchone()
        yield row is not None and bool(row[0])
    finally:
        # A connection that broke has let go of the lock already. Closing alone would let go of it a moment later.
        with suppress(psycopg.Error):
            own.rollback()
        own.close()


def tick(work: Callable[[], None]) -> Callable[[], None]:
    """Make a function a tick: it returns at once while another copy is at work."""

    @functools.wraps(work)
    def ticked() -> None:
        with alone(f"{work.__module__}.{work.__qualname__}") as mine:
            if mine:
                work()

    return ticked


def one_by_one(work: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """Do the work for each item; one that cannot be worked on is logged and holds up no other. What was answered.

    Raises what a database raises that has gone away: then there is nothing left to try.
    """
    answers = []
    for item in list(items):
        try:
            answers.append(work(item))
        except Exception as error:
            if not connection.is_usable():
                raise
            log.error("tick_passed_over", item=str(item), exc_info=error)
    return answers
