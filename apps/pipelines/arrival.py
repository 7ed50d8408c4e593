"""What the end of a load, or of a run, means for its windows: they are done, stay open, have failed, or never were."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db.models.functions import Now

from apps.pipelines import windows as w
from apps.pipelines.graph import Graph
from apps.pipelines.models import Run, StepRun, Window
from apps.pipelines.states import STEP_DONE


def loaded(run: Run, graph: Graph, step_key: str) -> None:
    """A load has taken its rows: windows whose last load this was are done. In the load's transaction, Run locked."""
    done = set(run.steps.filter(kind="load", state__in=STEP_DONE).values_list("key", flat=True)) | {step_key}
    complete = [
        each.pk
        for key, each in w.in_batch(run.batch).items()
        if each.state in w.OPEN
        and key in graph.incremental_above(step_key)
        and done.issuperset(graph.loads_fed_by(key))
    ]
    Window.objects.filter(pk__in=complete, state__in=w.OPEN).update(state="done", closed_at=Now(), reason="")


def close_with(run: Run) -> bool:
    """A run has succeeded: windows that a branch which was allowed to fail has not loaded are failed; says if any is.

    A run that failed or was cancelled leaves its windows open: the next one repeats them. So does a run of only some
    steps with those that a load it left out waits for. What an extract would have read that was skipped, because a
    step that it comes after has failed, is planned anew by the next run; or repeated, where no plan would find it, or
    it belongs together with what others have read.
    """
    graph = w.graph_of(run)
    left_out = steps_left_out(run, graph)
    skipped = set(run.steps.filter(kind="extract", state="skipped").values_list("key", flat=True)) - left_out
    done = set(run.steps.filter(kind="load", state__in=STEP_DONE).values_list("key", flat=True))
    own = w.in_batch(run.batch).items()
    batch = {key: each for key, each in own if each.state in w.OPEN and key in graph.nodes}
    missing = {key: [load for load in graph.loads_fed_by(key) if load not in done] for key in batch}
    anew = parted({key for key in skipped if key in batch and _would_come_again(batch[key])}, missing)
    failed = False
    for key, each in batch.items():
        if not left_out.isdisjoint(missing[key]):
            continue
        if key in skipped:
            if key in anew:
                each.delete()
            continue
        failed = failed or bool(missing[key])
        each.state = "failed" if missing[key] else "done"
        each.reason = f"Not loaded by {', '.join(missing[key])}." if missing[key] else ""
        Window.objects.filter(pk=each.pk, state__in=w.OPEN).update(
            state=each.state, reason=each.reason[:300], closed_at=Now()
        )
    return failed


def planned_anew(failed: Iterable[Window]) -> list[Window]:
    """Those that nobody could even read, because a source was away for a moment.

    A plan finds all of each again. What is wrong with rows themselves, or was too much for the machine, waits for a
    repair, and so does what was planned together with that.
    """
    found = [each for each in failed if each.state == "failed" and _would_come_again(each) and _was_away(each)]
    others = Window.objects.filter(batch__in={each.batch for each in found}).exclude(state__in=["done", "forgotten"])
    bound = set(others.exclude(pk__in=[each.pk for each in found]).values_list("batch", flat=True))
    return [each for each in found if each.batch not in bound]


def held_up(run: Run) -> set[str]:
    """The steps that read nothing new before the batch of a run has arrived; none where no run repeats it."""
    batch = w.in_batch(run.batch)
    if not any(each.state in w.OPEN for each in batch.values()):
        return set()
    return {key for key, each in batch.items() if each.state != "done"}


def stuck(batches: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Those of some open batches that a run of all steps has left open, with the newest such run.

    A step that is allowed to fail has kept others from their turn, and may do so for long.
    """
    runs = Run.objects.filter(batch__in=batches, state="succeeded", only=[]).order_by("id")
    return {batch: pk for batch, pk in runs.values_list("batch", "pk") if batch is not None}


def reopen(batch: uuid.UUID) -> None:
    """Failed windows of a batch are open again, to be repeated with it."""
    Window.objects.filter(batch=batch, state="failed").update(state="planned", closed_at=None)


def steps_left_out(run: Run, graph: Graph) -> set[str]:
    """The steps that a run of only some never had."""
    if not run.only:
        return set()
    return set(graph.nodes) - set(run.only).union(*(graph.ancestors(key) for key in run.only))


def parted(steps: set[str], loads: Mapping[str, Collection[str]]) -> set[str]:
    """Those of these steps that share none of their loads with a step that is not among them."""
    others = {load for key, fed in loads.items() if key not in steps for load in fed}
    left = {key for key in steps if others.isdisjoint(loads[key])}
    return left if left == steps else parted(left, loads)


def _would_come_again(window: Window) -> bool:
    """Whether a plan finds all of a window again if there is none: nothing of it was ever read.

    Without the window of a seed its dataset would not be replaced, and messages that are left out would not be; files
    that somebody has picked to be read once more are new to nobody.
    """
    bounds: dict[str, Any] = window.bounds
    if window.backfill_id is not None or window.replaces or window.rows is not None or w.has_newer(window):
        return False
    if bounds["kind"] == "files":
        return _known_files(window).isdisjoint(each["path"] for each in bounds["files"])
    return bounds["kind"] != "offsets" or any(each["lower"] != each["upper"] for each in bounds["spans"])


def _known_files(window: Window) -> set[str]:
    """The files that other windows of the same step and stream have named."""
    others = w.chain_of(window).filter(bounds__kind="files").exclude(state="forgotten").exclude(pk=window.pk)
    return {each["path"] for files in others.values_list("bounds__files", flat=True) for each in files}


def _was_away(window: Window) -> bool:
    steps = StepRun.objects.filter(run__batch=window.batch, key=window.step_key, state="failed")
    error = steps.order_by("-run_id").values_list("error", flat=True).first()
    return bool(error and error["class"] == "transient" and error["code"] != "timeout")
