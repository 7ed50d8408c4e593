"""Whose query is answered now: a process answers few at the same time, and one person's are half of them at most."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from apps.audit.refusals import Busy

_TURN_SECONDS = 3.0

_slots = threading.BoundedSemaphore(settings.SQL_CONCURRENCY)
# Few wait for a slot, so that many who ask leave threads to the pages.
_places = threading.BoundedSemaphore(2)
# How many queries each person has here, those that wait for a slot included.
_had: Counter[uuid.UUID] = Counter()
_counting = threading.Lock()


@contextmanager
def turn(person: uuid.UUID) -> Iterator[None]:
    """One of the queries that this process answers at the same time. Raises Busy, to most at once."""
    with _share(person), _slot():
        yield


def most_of_one() -> int:
    """So many queries one person may have in this process at the same time."""
    return max(1, settings.SQL_CONCURRENCY // 2)


@contextmanager
def _share(person: uuid.UUID) -> Iterator[None]:
    most = most_of_one()
    with _counting:
        if _had[person] >= most:
            raise Busy(
                f"You have {most} quer{'y' if most == 1 else 'ies'} running here, and the rest is left to others. Wait "
                "until one ends, or stop one: the history of the SQL page and `manifold queries list` show them.",
                code="own_queries_busy",
            )
        _had[person] += 1
    try:
        yield
    finally:
        with _counting:
            _had[person] -= 1
            # Whoever has none is forgotten, so that this does not grow with the people.
            if not _had[person]:
                del _had[person]


@contextmanager
def _slot() -> Iterator[None]:
    slots = _slots
    if not (slots.acquire(blocking=False) or _waited(slots)):
        raise Busy(
            f"{settings.SQL_CONCURRENCY} queries are being answered already. Try again in a moment, or raise "
            "MANIFOLD_SQL_CONCURRENCY.",
            code="queries_busy",
        )
    try:
        yield
    finally:
        slots.release()


def _waited(slots: threading.BoundedSemaphore) -> bool:
    """Whether a short wait has brought a slot."""
    if not _places.acquire(blocking=False):
        return False
    try:
        return slots.acquire(timeout=_TURN_SECONDS)
    finally:
        _places.release()
