"""What is tried from outside, counted in Redis by the minute, so that guessing and flooding are slow and noticed."""

from __future__ import annotations

import logging
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

WINDOW = 60
_FEW_SECONDS = 0.5

logger = logging.getLogger(__name__)


def note(what: str) -> tuple[int, int]:
    """Count one more from an address, or of anything else.

    Returns how many there were in this minute, and how many seconds are left of it.

    The count and its end are one transaction of Redis, so two processes cannot lose one. Without Redis nothing is
    counted: secrets have 256 random bits, and whoever has a good one must not wait for the broker.
    """
    key = f"manifold:guesses:{what}"
    try:
        with _client().pipeline(transaction=True) as together:
            together.set(key, 0, ex=WINDOW, nx=True)
            together.incr(key)
            together.ttl(key)
            _, count, left = together.execute()
    except redis.RedisError:
        logger.warning("Redis does not answer; what was tried was not counted.", exc_info=True)
        return 0, WINDOW
    return int(count), max(1, int(left))


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.CELERY_BROKER_URL,
        socket_connect_timeout=_FEW_SECONDS,
        socket_timeout=_FEW_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
