"""Waiting for others no longer than was said, whatever they do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dataplane.errors import TransientError

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What the work answers, or raises; TransientError `answer_timeout` when that takes longer.

    Work that hangs is left behind in a thread of its own, where the time limits of its driver end it. It has to leave
    the database of whoever waits alone.
    """
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
    raise TransientError(
        f"No answer within {seconds:.0f} seconds: the source may be overloaded, or a firewall may drop packets.",
        code="answer_timeout",
    )
