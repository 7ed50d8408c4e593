"""What becomes ready, or is skipped, when a step has ended. Every function here wants the Run's row locked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now
from psycopg.types.json import Jsonb
from psycopg.types.numeric import Int8

from apps.pipelines.execution import rows
from apps.pipelines.execution.dispatch import Ready
from apps.pipelines.models import Run, StepRun

# Published at the same moment: the message is sent right after commit, and if that fails the sweep sends it again.
# What is done is looked up once for all that wait: a step may release hundreds.
_READY = """
UPDATE pipelines_steprun s
SET state = 'ready', queued_at = statement_timestamp(), published_at = statement_timestamp(), published = 1
WHERE s.run_id = %(run)s AND s.state = 'pending' AND {condition}
  AND NOT EXISTS (
    SELECT 1 FROM jsonb_array_elements_text(s.upstream) AS u(key)
    WHERE u.key <> %(after)s AND u.key NOT IN (
      SELECT key FROM pipelines_steprun WHERE run_id = %(run)s AND state IN ('succeeded', 'reused')))
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

_COUNTS = ("rows_in", "rows_out", "rows_rejected", "bytes_out", "peak_memory")


@dataclass(frozen=True)
class Released:
    """What the caller has to send after commit, and whether the run has any open step left."""

    ready: list[Ready]
    open: bool


def succeed(run: Run, step: StepRun, counts: dict[str, Any]) -> Released:
    """End a step that has succeeded, and make ready what waited for it alone. Its row is locked, too.

    A run that is stopping releases nothing.
    """
    values: dict[str, Any] = {name: Int8(counts.get(name, 0)) for name in _COUNTS}
    for name in ("output", "table"):
        values[name] = None if counts.get(name) is None else Jsonb(counts[name])
    values |= {"run": run.pk, "step": step.pk, "after": step.key, "onward": run.state != "stopping"}
    *ready, (_, _, still_open) = rows.fetch(_SUCCEED, values)
    return Released([(pk, queue) for pk, queue, _ in ready], still_open)


def release_next(run: Run) -> list[Ready]:
    """Make ready every pending step whose inputs are done, or that has none.

    Returns what the caller has to send after commit.
    """
    if run.state == "stopping":
        return []
    return [(step, queue) for step, queue in rows.fetch(_RELEASE, {"run": run.pk, "after": ""})]


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
