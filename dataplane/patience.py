"""Waiting for others no longer than was said, whatever they do."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb

from dataplane.errors import CancelledError, TransientError

T = TypeVar("T")

_INTERRUPTED_EVERY = 0.05

_LEFT: dict[Hashable, tuple[threading.Thread, float]] = {}
"""The work of each name that was left behind, whether it hangs still or has ended since, and when it was left."""


def within(seconds: float, work: Callable[[], T], *, name: Hashable = None, again_after: float = math.inf) -> T:
    """What the work answers, or raises; TransientError `answer_timeout` when that takes longer.

    Work that hangs is left behind in a thread of its own, where the time limits of its driver end it. It has to leave
    the database of whoever waits alone. name: of work that is asked for again and again, so that none begins while one
    of that name hangs: a mounted folder whose server has gone knows no time limit. again_after: so many seconds after
    it was left, another begins all the same.
    """
    left = _LEFT.pop(name, None)
    if left is not None and left[0].is_alive() and time.monotonic() - left[1] < again_after:
        _LEFT[name] = left
        raise _no_answer("It has not answered the question before this one yet")
    answers: list[T] = []
    failures: list[Exception] = []

    def worked() -> None:
        try:
            answers.append(work())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=worked, name="within", daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if answers:
        return answers[0]
    if name is not None:
        _LEFT[name] = thread, time.monotonic()
    raise _no_answer(f"No answer within {seconds:.0f} seconds")


@contextmanager
def interrupted_after(seconds: float, connection: duckdb.DuckDBPyConnection, late: TransientError) -> Iterator[None]:
    """Interrupt what runs on the connection when it is time; the CancelledError that comes of it becomes `late`."""
    over = threading.Event()

    def watch() -> None:
        due = not over.wait(seconds)
        # An interrupt that falls between two statements is lost.
        while due and not over.wait(_INTERRUPTED_EVERY):
            connection.interrupt()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    except CancelledError:
        raise late from None
    finally:
        over.set()
        watching.join()


def _no_answer(said: str) -> TransientError:
    return TransientError(
        f"{said}: the source may be overloaded, or a firewall may drop packets.", code="answer_timeout"
    )
