"""A retry: a new run that repeats an ended one with the same windows, and takes over what still stands of it."""

from __future__ import annotations

import uuid

from apps.audit.context import Actor
from apps.audit.refusals import Conflict
from apps.pipelines import arrival, starting, windows
from apps.pipelines.asked import Asked
from apps.pipelines.graph import PLAN, Graph
from apps.pipelines.models import Decision, Pipeline, Run, StepRun, Window
from apps.pipelines.states import RUN_TERMINAL, STEP_DONE

_TAKEN_OVER = (
    "output",
    "table",
    "started_at",
    "finished_at",
    "rows_in",
    "rows_out",
    "rows_rejected",
    "bytes_out",
    "peak_memory",
)


def create_retry(run: Run, pipeline: Pipeline, *, actor: Actor, trigger_key: str | None = None) -> Run:
    """The rows of a retry, pending. The caller holds the pipeline's lock. Raises Conflict if none can be."""
    # Locked, so that the files of its steps are not collected at this moment.
    run = Run.objects.select_related("version").select_for_update(no_key=True, of=("self",)).get(pk=run.pk)
    _refuse_if_pointless(run)
    again = starting.create_run(
        pipeline,
        run.version,
        actor=actor,
        trigger="retry",
        asked=Asked.of(run),
        trigger_key=trigger_key,
        retry_of=run,
    )
    # A slice of a backfill is read anew: live runs may have loaded newer rows since.
    standing = _standing(run) if run.backfill_id is None else {}
    if PLAN in standing or _repeats(run):
        again.batch = run.batch
    else:
        # Nothing of the batch is left to repeat. What was not read is planned anew, and with it all that is new.
        graph = windows.graph_of(run)
        standing = {
            key: each
            for key, each in standing.items()
            if not (graph.nodes[key].incremental or graph.incremental_above(key))
        }
    if PLAN in standing:
        again.mode, again.mode_reason = run.mode, run.mode_reason
        if run.batch:
            arrival.reopen(run.batch)
    again.save(update_fields=["batch", "mode", "mode_reason"])
    _take_over(again, standing)
    return again


def _refuse_if_pointless(run: Run) -> None:
    if run.state not in RUN_TERMINAL:
        raise Conflict("The run has not ended. Cancel it first, or wait.", code="run_active")
    if run.state in ("skipped", "expired") or (run.state == "succeeded" and run.outcome != "partial"):
        raise Conflict(
            f"The run is {run.state}, so there is nothing to repeat. Start a new one.", code="nothing_to_retry"
        )
    states = _window_states(run)
    if not states:
        return
    if states == {"forgotten"}:
        raise Conflict(
            "A seed has read everything again since, or a later run what this one could not read. Start a new run "
            "instead.",
            code="overtaken",
        )
    starts_over, unread = run.again or run.requested_mode == "seed", _lacks_unread(run)
    if _repeats(run) or (unread and not starts_over):
        return
    if unread:
        anew = "with mode seed" if run.requested_mode == "seed" else "for these files"
        raise Conflict(
            "What the run had read is loaded, and what it could not read a retry does not read either: others may have "
            f"loaded newer rows since. Start a new run {anew} instead.",
            code="nothing_to_retry",
        )
    if not _missing(run, windows.graph_of(run)):
        raise Conflict("The run has loaded all that it had read. Start a new one instead.", code="nothing_to_retry")
    raise Conflict("Another run has loaded since what this one had read. Start a new run instead.", code="overtaken")


def _repeats(run: Run) -> bool:
    """Whether something of its batch is left to be repeated, or to be loaded beside it."""
    states = _window_states(run)
    return bool(states & {*windows.OPEN, "failed"}) or (bool(states) and _lacks_whole_streams(run))


def _window_states(run: Run) -> set[str]:
    """The states of the windows that it has read; none where it got to none."""
    if run.batch is None:
        return set()
    return set(Window.objects.filter(batch=run.batch).values_list("state", flat=True))


def _lacks_whole_streams(run: Run) -> bool:
    """Whether a load that reads no window is missing: the next run may find nothing new and be skipped without it."""
    graph = windows.graph_of(run)
    return any(not graph.incremental_above(each) for each in _missing(run, graph))


def _lacks_unread(run: Run) -> bool:
    """Whether a load is missing of which nothing was read: its source did not answer, or what it waits for failed."""
    if run.batch is None:
        return False
    graph = windows.graph_of(run)
    output = run.steps.filter(key=PLAN).values_list("output", flat=True).first() or {}
    wanted = {each["key"] for each in output.get("steps", ()) if each.get("failed") or not each["skip_reason"]}
    unread = wanted.difference(Window.objects.filter(batch=run.batch).values_list("step_key", flat=True))
    return any(not unread.isdisjoint(graph.incremental_above(each)) for each in _missing(run, graph))


def _missing(run: Run, graph: Graph) -> list[str]:
    """The loads that it was to do and has not done."""
    missing = run.steps.filter(kind="load").exclude(state__in=STEP_DONE).values_list("key", flat=True)
    left_out = arrival.steps_left_out(run, graph)
    return [each for each in missing if each not in left_out]


def _standing(run: Run) -> dict[str, StepRun]:
    """The steps whose outputs still stand. The plan stands only with all its extracts, which it tells what to read.

    One that was skipped because a step before it had failed is read by then: what is there at that time decides.
    """
    steps = list(run.steps.all())
    left_out = arrival.steps_left_out(run, windows.graph_of(run))
    # A check whose question was not answered with yes asks again.
    asked = set(Decision.objects.filter(step__in=steps).exclude(answer="continue").values_list("step_id", flat=True))
    found = {
        each.key: each
        for each in steps
        if each.state in STEP_DONE
        and each.kind != PLAN
        and each.pk not in asked
        and (each.table is not None or each.kind == "load")
    }
    plan = next((each for each in steps if each.kind == PLAN and each.state in STEP_DONE), None)
    if plan is not None and all(
        each.key in found for each in steps if each.kind == "extract" and each.key not in left_out
    ):
        found[PLAN] = plan
    return found


def _take_over(again: Run, standing: dict[str, StepRun]) -> None:
    steps: list[StepRun] = []
    for step in again.steps.filter(key__in=standing):
        old = standing[step.key]
        step.state = "reused"
        step.reused_from = _first(old)
        for name in _TAKEN_OVER:
            setattr(step, name, getattr(old, name))
        steps.append(step)
    StepRun.objects.bulk_update(steps, ["state", "reused_from", *_TAKEN_OVER])


def _first(step: StepRun) -> uuid.UUID:
    """The step that did the work, through any number of retries."""
    return step.reused_from or step.pk
