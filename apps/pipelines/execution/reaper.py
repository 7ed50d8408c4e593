"""Steps whose worker has died: their lease is over, so another worker gets them."""

from __future__ import annotations

import structlog
from django.db.models.functions import Now

from apps.audit.ticks import one_by_one
from apps.pipelines.execution import settling
from apps.pipelines.models import StepRun

log = structlog.get_logger(__name__)


def reap() -> int:
    """Take every running step whose lease is over from its worker; how many there were.

    Any number of copies may run: candidates are found without a lock, and each is looked at again under its Run's.
    """
    late = StepRun.objects.filter(state="running", lease_until__lt=Now()).order_by("lease_until")
    return sum(one_by_one(settling.lose, late.values_list("pk", flat=True)))


def worker_died(message: str) -> None:
    """A worker's child died with this message: no need to wait for the lease of the step that it held, if any."""
    held = StepRun.objects.filter(state="running", worker__endswith=f"/{message}")
    for step in list(held.values_list("pk", flat=True)):
        if held.filter(pk=step).update(lease_until=Now()):
            settling.lose(step)
