"""What becomes ready, or is skipped, when a step has ended. Every function here wants the Run's row locked."""

from __future__ import annotations

from django.db import connection
from django.db.models.functions import Now

from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.models import Run, StepRun

# Published at the same moment: the message is sent right after commit, and if that fails the sweep sends it again.
_RELEASE = """
UPDATE pipelines_steprun s
SET state = 'ready', queued_at = statement_timestamp(), published_at = statement_timestamp(), published = 1
WHERE s.run_id = %(run)s AND s.state = 'pending'
  AND (%(after)s::text IS NULL OR jsonb_exists(s.upstream, %(after)s))
  AND NOT EXISTS (
    SELECT 1 FROM jsonb_array_elements_text(s.upstream) AS u(key)
    LEFT JOIN pipelines_steprun d ON d.run_id = s.run_id AND d.key = u.key
    WHERE d.state IS NULL OR d.state NOT IN ('succeeded', 'reused'))
RETURNING s.id, s.queue
"""


def release_next(run: Run, after: str | None = None) -> list[Ready]:
    """Make ready every pending step whose inputs are done; with `after`, only those that wait for this step.

    Returns what the caller has to send after commit. A run that is stopping releases nothing.
    """
    if run.state == "stopping":
        return []
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, {"run": run.pk, "after": after})
        return [(step, queue) for step, queue in cursor.fetchall()]


def skip_behind(run: Run) -> None:
    """Skip the pending steps that can never run because a step before them has failed or was skipped or cancelled."""
    steps = list(StepRun.objects.filter(run=run).only("key", "state", "upstream", "position").order_by("position"))
    dead = {each.key for each in steps if each.state in ("failed", "skipped", "cancelled")}
    behind: list[StepRun] = []
    waiting = [each for each in steps if each.state == "pending"]
    while True:
        found = [each for each in waiting if dead.intersection(each.upstream)]
        if not found:
            break
        behind += found
        dead.update(each.key for each in found)
        waiting = [each for each in waiting if each.key not in dead]
    if behind:
        StepRun.objects.filter(pk__in=[each.pk for each in behind], state="pending").update(
            state="skipped", finished_at=Now()
        )
