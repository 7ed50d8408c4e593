"""What becomes ready, or is skipped, when a step has ended. Every function here wants the Run's row locked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models.functions import Now
from psycopg.types.json import Jsonb

from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.models import Run, StepRun

# Published at the same moment: the message is sent right after commit, and if that fails the sweep sends it again.
_READY = """
UPDATE pipelines_steprun s
SET state = 'ready', queued_at = statement_timestamp(), published_at = statement_timestamp(), published = 1
WHERE s.run_id = %(run)s AND s.state = 'pending' AND {condition}
  AND NOT EXISTS (
    SELECT 1 FROM jsonb_array_elements_text(s.upstream) AS u(key)
    LEFT JOIN pipelines_steprun d ON d.run_id = s.run_id AND d.key = u.key
    WHERE d.state IS NULL OR (d.state NOT IN ('succeeded', 'reused') AND d.key <> %(after)s))
RETURNING s.id, s.queue
"""
_RELEASE = _READY.format(condition="true")
# All parts of one statement see the rows as they were before it, so the step that ends here is named apart.
_SUCCEED = f"""
WITH ended AS (
  UPDATE pipelines_steprun
  SET state = 'succeeded', finished_at = statement_timestamp(), lease_until = NULL, error = NULL,
      rows_in = %(rows_in)s, rows_out = %(rows_out)s, rows_rejected = %(rows_rejected)s, bytes_out = %(bytes_out)s,
      peak_memory = greatest(peak_memory, %(peak_memory)s), output = %(output)s, "table" = %(table)s
  WHERE id = %(step)s),
released AS ({_READY.format(condition="%(onward)s AND jsonb_exists(s.upstream, %(after)s)")})
SELECT id, queue, NULL FROM released
UNION ALL
SELECT NULL, NULL, EXISTS (
  SELECT 1 FROM pipelines_steprun WHERE run_id = %(run)s AND key <> %(after)s
  AND state IN ('pending', 'ready', 'running', 'retry_wait'))
"""


@dataclass(frozen=True)
class Released:
    """What the caller has to send after commit, and whether the run has any open step left."""

    ready: list[Ready]
    open: bool


def succeed(run: Run, step: StepRun, counts: dict[str, Any]) -> Released:
    """End a step that has succeeded, and make ready what waited for it alone. Its row is locked, too.

    A run that is stopping releases nothing.
    """
    found: dict[str, Any] = {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "bytes_out": 0, **counts}
    for name in ("output", "table"):
        found[name] = None if found.get(name) is None else Jsonb(found[name])
    found |= {"run": run.pk, "step": step.pk, "after": step.key, "onward": run.state != "stopping"}
    with connection.cursor() as cursor:
        cursor.execute(_SUCCEED, found)
        *ready, (_, _, still_open) = cursor.fetchall()
    return Released([(pk, queue) for pk, queue, _ in ready], still_open)


def release_next(run: Run) -> list[Ready]:
    """Make ready every pending step whose inputs are done; returns what the caller has to send after commit."""
    if run.state == "stopping":
        return []
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE, {"run": run.pk, "after": ""})
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
