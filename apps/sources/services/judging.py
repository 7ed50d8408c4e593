"""A source's health: judged again when something else than its tests says so, and every change of it an event."""

from __future__ import annotations

import uuid

from django.utils import timezone

from apps.audit.services import record
from apps.sources.health import LAST, Verdict, grant_refused, judged
from apps.sources.models import Source


def judge_again(source_id: uuid.UUID) -> None:
    """Judge a source by the tests that it has had, because something else is known of it now.

    Belongs to the caller's transaction. A source that has not been tested since it was changed stays unknown, unless
    nobody lets it in any more; for one that was removed meanwhile there is nothing to judge.
    """
    rows = Source.objects.select_for_update(no_key=True, of=("self",)).select_related("credential")
    source = rows.filter(pk=source_id).first()
    if source is None:
        return
    checks = list(source.checks.filter(at__gte=source.changed_at)[:LAST])
    if not checks and not grant_refused(source):
        return
    verdict, before = judged(source, checks, timezone.now()), source.health
    Source.objects.filter(pk=source_id).update(health=verdict.health, health_reason=verdict.reason)
    record_change(source, before, verdict)


def record_change(source: Source, before: str, verdict: Verdict) -> None:
    """The event of a change of health, where it is one."""
    if verdict.health != before:
        record(
            "source health changed",
            object_type="source",
            object_id=source.pk,
            object_name=source.slug,
            project=source.project_id,
            data={"before": before, "health": verdict.health, "reason": verdict.reason},
        )
