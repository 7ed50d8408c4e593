"""Every source is tested at its interval, so that one that has gone is noticed before a run needs it."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import F, Q
from django.utils import timezone

from apps.audit.context import SYSTEM
from apps.audit.ticks import one_by_one, tick
from apps.sources.models import Health, Source
from apps.sources.services.testing import Asking, keep_check, next_moment

AT_ONCE = 4
"""So many sources are tested at the same time, and by one tick. With `SECONDS` this bounds how long a tick lasts."""


@tick
def watch_connections() -> None:
    """Test whatever it is time to test."""
    watch_due(timezone.now())


def watch_due(now: datetime) -> None:
    """Test the sources that have waited longest, a few at once. What is left over is taken by the next tick."""
    wanted = Q(next_check_at__isnull=True) | Q(next_check_at__lte=now)
    due = Source.objects.filter(wanted, check_every__gt=0).order_by(F("next_check_at").asc(nulls_first=True), "pk")
    sources = list(due.select_related("credential")[:AT_ONCE])
    asked = one_by_one(lambda source: (source, Asking(source)), [each for each in sources if _claimed(each, now)])
    one_by_one(lambda each: keep_check(each[0], each[1].answer(), actor=SYSTEM), asked)


def test_after_read(project: uuid.UUID, slug: str) -> None:
    """A run has read from a source: where its health is an error, the next tick tests it, and not its next moment.

    Belongs to the caller's transaction. One that is tested by hand only is left alone.
    """
    ill = Source.objects.filter(project=project, slug=slug, health=Health.ERROR, check_every__gt=0)
    ill.update(next_check_at=timezone.now())


def _claimed(source: Source, now: datetime) -> bool:
    """Put its next moment off before it is asked: one whose test breaks must not keep the others from theirs."""
    unchanged = Source.objects.filter(pk=source.pk, changed_at=source.changed_at)
    return unchanged.update(next_check_at=next_moment(source.pk, source.check_every, now)) == 1
