"""Claim a ready step, and keep what only the claimant may do: every later write names its fence."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from django.conf import settings

from apps.pipelines.execution import rows
from apps.pipelines.models import Run, StepRun
from apps.pipelines.runlog import Speaker
from dataplane.steps.log import Log

# One statement in a transaction of its own: whoever changes no row leaves.
_CLAIM = f"""
UPDATE pipelines_steprun s
SET state = 'running', fence = s.fence + 1, attempt = s.attempt + 1, worker = %(worker)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
    started_at = clock_timestamp(), finished_at = NULL, due_at = NULL, progress = NULL
FROM pipelines_run r
WHERE s.id = %(step)s AND s.state = 'ready' AND r.id = s.run_id AND r.state = 'running'
RETURNING {rows.STEP}, {rows.RUN}
"""


@dataclass(frozen=True)
class Claim:
    """One execution of one step. The rows are as they were at the claim."""

    step: StepRun
    run: Run
    log: Log = field(default_factory=Log)

    @property
    def fence(self) -> int:
        return self.step.fence

    @property
    def speaker(self) -> Speaker:
        """Whose the lines of its log are."""
        return Speaker(self.run.pk, self.step.key, self.step.attempt, self.step.fence)


def claim(step: uuid.UUID, worker: str) -> Claim | None:
    """Claim a step for this worker; None when it is not ready, or its run not running: a duplicate message, mostly."""
    found = rows.fetch(_CLAIM, {"step": step, "worker": worker, "lease": settings.LEASE_SECONDS})
    return Claim(*rows.step_and_run(found[0])) if found else None
