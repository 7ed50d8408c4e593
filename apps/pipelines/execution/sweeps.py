"""Repairs by looking: whatever was lost between two processes is found again in the rows. Only open runs are looked at.

Candidates are found without a lock; each is then looked at again with its Run locked.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Least, Now

from apps.audit.context import SYSTEM, acting
from apps.audit.ticks import one_by_one, tick
from apps.pipelines import starting
from apps.pipelines.execution import closing, dispatch, release
from apps.pipelines.models import Run, StepRun

log = structlog.get_logger(__name__)

MESSAGES_PER_SLOT = 4
AT_ONCE = 1000


@tick
def sweep() -> None:
    """Everything that can be repaired from rows."""
    stop_late_runs()
    retry_due_steps()
    repair_runs()
    admit_pending_runs()
    publish_again()


def publish_again() -> int:
    """Send the messages of ready steps that nobody has claimed; how many were sent.

    A message may only be waiting its turn, so nothing is sent into a queue that is full, and each row waits longer from
    one time to the next: a quarter of a lease, then two, then three.
    """
    waiting = dispatch.queued() or {}
    room = [queue for queue, messages in waiting.items() if messages <= MESSAGES_PER_SLOT * settings.WORKERS]
    pause = settings.LEASE_SECONDS / 4
    longest = Case(
        *(When(published=n, then=Value(timedelta(seconds=n * pause))) for n in (1, 2)),
        default=Value(timedelta(seconds=3 * pause)),
    )
    unheard = Q(published_at=None, queued_at__lt=Now() - timedelta(seconds=pause)) | Q(published_at__lt=Now() - longest)
    late = StepRun.objects.filter(unheard, state="ready", queue__in=room, run__state="running").order_by("published_at")
    sent = 0
    for step, queue in list(late.values_list("pk", "queue")[:AT_ONCE]):
        StepRun.objects.filter(pk=step, state="ready").update(
            published=Least(F("published") + 1, 3), published_at=Now()
        )
        if not dispatch.send([(step, queue)]):
            break
        sent += 1
    if sent:
        log.info("steps_published_again", steps=sent)
    return sent


def retry_due_steps() -> None:
    """Make ready the steps whose time to be tried again has come."""
    due = StepRun.objects.filter(state="retry_wait", due_at__lte=Now(), run__state="running")
    _each_run(due.values_list("run_id", flat=True).distinct(), _retry_due)


def repair_runs() -> None:
    """Release steps whose inputs are done, and end runs that have nothing left to do."""
    open_steps = StepRun.objects.filter(run=OuterRef("pk"), state__in=["ready", "running", "retry_wait"])
    idle = Run.objects.filter(~Exists(open_steps), state__in=["running", "stopping"])
    stuck = Run.objects.raw(_STUCK)
    _each_run([*idle.values_list("pk", flat=True), *(run.pk for run in stuck)], _repair)


def stop_late_runs() -> None:
    """Stop the runs that are over their time limit. Its clock stands still while a run waits or is paused."""
    late = Run.objects.filter(state="running", deadline_at__lt=Now())
    _each_run(late.values_list("pk", flat=True), _stop_late)


def admit_pending_runs() -> None:
    """Give pending runs their turn, and let those expire that waited beyond their deadline."""
    one_by_one(_admit, starting.waiting_pipelines())


def _admit(pipeline: uuid.UUID) -> None:
    with acting(SYSTEM):
        ready = starting.admit(pipeline)
    dispatch.send(ready)


# Pending steps all of whose inputs are done, or one of whose inputs never will be.
_STUCK = """
SELECT DISTINCT r.id FROM pipelines_run r JOIN pipelines_steprun s ON s.run_id = r.id
WHERE r.state = 'running' AND s.state = 'pending' AND (
  NOT EXISTS (SELECT 1 FROM pipelines_steprun d WHERE d.run_id = r.id AND jsonb_exists(s.upstream, d.key)
              AND d.state NOT IN ('succeeded', 'reused'))
  OR EXISTS (SELECT 1 FROM pipelines_steprun d WHERE d.run_id = r.id AND jsonb_exists(s.upstream, d.key)
             AND d.state IN ('failed', 'skipped', 'cancelled')))
"""


def _each_run(runs: Iterable[uuid.UUID], repair: Callable[[Run], list[dispatch.Ready]]) -> None:
    def repaired(pk: uuid.UUID) -> None:
        with acting(SYSTEM):
            run = Run.objects.select_for_update(no_key=True).filter(pk=pk).first()
            ready = repair(run) if run is not None else []
        dispatch.send(ready)

    one_by_one(repaired, dict.fromkeys(runs))


def _retry_due(run: Run) -> list[dispatch.Ready]:
    if run.state != "running":
        return []
    due = list(StepRun.objects.filter(run=run, state="retry_wait", due_at__lte=Now()).values_list("pk", "queue"))
    StepRun.objects.filter(pk__in=[pk for pk, _ in due]).update(
        state="ready", due_at=None, queued_at=Now(), published_at=Now(), published=1
    )
    return due


def _repair(run: Run) -> list[dispatch.Ready]:
    if run.state not in ("running", "stopping"):
        return []
    release.skip_behind(run)
    ready = release.release_next(run)
    ended = closing.close_if_over(run)
    if ready or ended:
        log.warning("run_repaired", run=str(run.pk), released=len(ready), ended=ended)
    return ready


def _stop_late(run: Run) -> list[dispatch.Ready]:
    late = Run.objects.filter(pk=run.pk, state="running", deadline_at__lt=Now())
    if late.exists():
        closing.stop_run(run, "timed_out")
    return []
