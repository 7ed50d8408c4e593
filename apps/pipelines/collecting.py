"""Files that no row names any more. What goes is decided by rows, never by age alone.

Below `runs/<run>/<step>/<fence>/` stand the files of every execution. They stay while somebody may still read them: the
datasets that adopted them, the windows whose row hashes they hold, and the run itself with its retries.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from apps.audit.context import SYSTEM, acting
from apps.audit.ticks import one_by_one, tick
from apps.pipelines.models import Run, StepRun, Window
from apps.pipelines.states import RUN_TERMINAL, STEP_DONE, STEP_TERMINAL
from apps.snapshots import queries as snapshots

KEPT_AFTER_FAILURE = timedelta(days=7)
AT_ONCE = 20


def collectable_runs() -> QuerySet[Run]:
    """Runs whose intermediate files nobody needs: they, or a retry of theirs, succeeded whole; or a week has passed.

    The week counts from the end of the last retry, which may have taken over files of those before it.
    """
    family = Run.objects.filter(root=OuterRef("root"))
    over = Q(state__in=RUN_TERMINAL, collected_at__isnull=True)
    whole = Exists(family.filter(state="succeeded").exclude(outcome="partial"))
    nothing = Q(state__in=["skipped", "expired"])
    aged = ~Exists(family.filter(finished_at__gte=Now() - KEPT_AFTER_FAILURE))
    busy = Exists(family.exclude(state__in=RUN_TERMINAL))
    return Run.objects.filter(over & (Q(whole) | nothing | aged) & ~Q(busy)).order_by("id")


def collect(run_id: uuid.UUID) -> int:
    """Remove the intermediate files of one ended run; returns how many. Its steps can no longer be reused.

    The rows let go first, so that a retry that begins now reads again; the mark comes last, so that a crash in between
    leaves a run that is collected once more.
    """
    with acting(SYSTEM):
        Run.objects.select_for_update(no_key=True).get(pk=run_id)
        if not collectable_runs().filter(pk=run_id).exists():
            return 0
        StepRun.objects.filter(run_id=run_id, table__isnull=False).update(table=None)
    removed = _remove(f"runs/{run_id}", keep=())
    Run.objects.filter(pk=run_id).update(collected_at=Now())
    return removed


def collect_strays(run_id: uuid.UUID) -> int:
    """Remove what dead or failed executions of a run's steps have left behind; returns how many files.

    An execution is over when its fence has passed or its step has ended without success.
    """
    steps = StepRun.objects.filter(run_id=run_id).exclude(state__in=STEP_TERMINAL - STEP_DONE)
    keep = tuple(f"runs/{run_id}/{key}/{fence}/" for key, fence in steps.values_list("key", "fence"))
    return _remove(f"runs/{run_id}", keep)


def collect_orphans(runs: Iterable[uuid.UUID]) -> None:
    """Remove the files of runs that have no row any more, but those that datasets hold."""
    one_by_one(lambda run: _remove(f"runs/{run}", keep=()), runs)


@tick
def sweep() -> None:
    """Collect the oldest of the runs that may be collected."""
    one_by_one(collect, collectable_runs().values_list("pk", flat=True)[:AT_ONCE])


def _remove(prefix: str, keep: tuple[str, ...]) -> int:
    """Remove the files below a folder but those to be kept and those that rows name; with nothing left, the folder."""
    storage = snapshots.storage()
    paths = list(storage.walk(prefix))
    kept = {each for each in paths if each.startswith(keep)}
    kept |= snapshots.named_paths(paths) | _seen(paths)
    gone = [each for each in paths if each not in kept]
    for each in gone:
        storage.remove(each)
    if not kept:
        storage.remove(prefix)
    return len(gone)


def _seen(paths: Iterable[str]) -> set[str]:
    """Those of these files that hold the row hashes of a window that still counts."""
    windows = Window.objects.filter(seen__in=list(paths)).exclude(state="forgotten")
    return set(windows.values_list("seen", flat=True))
