"""What several doors ask about sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Aggregate, Count, FloatField, Q
from django.db.models.functions import Length

from apps.sources.models import Source


class Percentile(Aggregate):
    """The value below which a share of the rows lie, between two rows by interpolation; None without rows."""

    function = "percentile_cont"
    template = "%(function)s(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: str, share: float, **extra: Any) -> None:
        super().__init__(expression, share=share, **extra)


@dataclass(frozen=True)
class Connection:
    """How the tests of a source went over some days: how many, which share passed, and seconds that those took."""

    days: int
    tests: int
    failed: int
    success_rate: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None


@dataclass(frozen=True)
class Event:
    """An event that was sent to a source; its size in bytes."""

    position: int
    message_id: str
    received_at: datetime
    size: int


def newest_events(source: Source, count: int = 20) -> list[Event]:
    """The events that came last and are still kept, the newest first."""
    rows = source.events.annotate(size=Length("body")).order_by("-position")
    return [Event(*each) for each in rows.values_list("position", "message_id", "received_at", "size")[:count]]


def connection_of(source: Source, now: datetime, days: int) -> Connection:
    """The figures of a source's tests since so many days ago, in one query."""
    since = source.checks.filter(at__gte=now - timedelta(days=days)).order_by()
    found = since.aggregate(
        tests=Count("pk"),
        failed=Count("pk", filter=Q(ok=False)),
        half=Percentile("seconds", 0.5, filter=Q(ok=True)),
        most=Percentile("seconds", 0.95, filter=Q(ok=True)),
    )
    tests, failed = found["tests"], found["failed"]
    rate = (tests - failed) / tests if tests else None
    return Connection(days, tests, failed, rate, found["half"], found["most"])
