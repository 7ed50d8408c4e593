"""What a run does about columns that have changed in the source: it follows them, asks a person, or stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.db.models import Q

from apps.audit.context import SYSTEM, Actor
from apps.audit.refusals import Invalid
from apps.pipelines.document import Document
from apps.pipelines.models import Run
from apps.pipelines.plans import Plan
from apps.sources import services as sources
from apps.sources.models import Drift, Stream
from apps.sources.streams import seen_columns
from dataplane.connectors.schema import StreamConfig
from dataplane.drift import Watch
from dataplane.errors import ManifoldError
from dataplane.steps.naming import sources_of


def watch(document: Document, key: str, stream: Stream, config: StreamConfig) -> Watch:
    """What is known of the stream of an extract before its source is asked."""
    needed = {column: what for name, what in _keys(document, key) for column in sources_of([name], config.names)}
    if config.cursor:
        needed[config.cursor] = "the cursor"
    answered = frozenset(stream.drift_answered)
    beside = sources.connector_class(stream.source.connector).beside
    return Watch(seen_columns(stream), sources.policy_of(stream), needed, answered, beside)


def note(run: Run, plan: Plan) -> list[str]:
    """Keep what the sources were found to have, in the transaction of the plan, with the Run locked.

    What a person has to decide is asked by the run that reads it, so one that is skipped leaves it be. Returns the
    changes that halt the run; others may have met the same.
    """
    found = [each for each in plan.readings if each.drift is not None]
    fails, halting = stopped(plan) is not None, []
    # In one order for all runs, so that none waits for another that waits for it.
    for each in sorted(found, key=lambda reading: (reading.stream.source_id, reading.stream.pk)):
        if each.drift is not None and not (plan.skip and each.drift.asks):
            kept = sources.note_drift(each.stream, each.drift, run=run.pk, actor=SYSTEM)
            if kept is not None and not each.failed and (each.drift.stops if fails else each.drift.asks):
                halting.append(str(kept.pk))
    return halting


def stopped(plan: Plan) -> ManifoldError | None:
    """Why the run may not go on; a branch that may fail does so by itself."""
    stops = (each.drift.stops for each in plan.readings if each.drift is not None and not each.failed)
    return next((each for each in stops if each is not None), None)


def question(plan: Plan) -> str:
    """What a person is asked; empty where nothing has to be decided."""
    asked = [each for each in plan.readings if each.drift is not None and each.drift.asks]
    said = [f"The columns of {each.stream.name} have changed: {each.drift.said}." for each in asked if each.drift]
    return " ".join([*said, "Read it as it is now?"]) if said else ""


def asked_by(run: Run) -> list[Drift]:
    """The changes about which a run waits for a decision."""
    return _open(run, "asked")


def stopping(run: Run) -> list[Drift]:
    """The changes that have stopped a run and that nobody has taken over yet."""
    return _open(run, "stopped")


def _open(run: Run, state: str) -> list[Drift]:
    """Changes in this state that this run was the last to meet, and those that halted it.

    Another run that meets the same change, or is refused it, leaves its own mark and state on the row.
    """
    plans = run.steps.filter(kind="plan").values_list("output", flat=True)
    met = [each for output in plans for each in (output or {}).get("drifts", ())]
    found = Drift.objects.filter(Q(run=run.pk, state=state) | Q(pk__in=met)).exclude(state="followed")
    return list(found.select_related("stream__source").order_by("stream__source_id", "stream_id"))


def answer(run: Run, answered: str, *, renames: Mapping[str, str], remember: bool, actor: Actor) -> None:
    """Take over what a run asks about, or leave it. Raises Invalid for a rename that fits no change."""
    drifts = asked_by(run)
    left = set(renames)
    for drift in drifts:
        if answered != "continue":
            sources.refuse_drift(drift, actor=actor)
            continue
        gone = {each["column"] for each in drift.changes if each["kind"] in ("removed", "renamed")}
        own = {old: new for old, new in renames.items() if old in gone}
        left -= set(own)
        sources.accept_drift(drift, renames=own, remember=remember, actor=actor)
    if left:
        raise Invalid("renames", f"No column {', '.join(sorted(left))} has gone. Leave it out.", code="not_gone")


def _keys(document: Document, extract: str) -> Iterator[tuple[str, str]]:
    """Columns by which loads know rows again that come from an extract as they are, and what they are to the load."""
    for each in document.steps.values():
        if each.kind == "load" and each.spec.key and _comes_from(document, each.spec.input, extract):
            for name in each.spec.key:
                yield name, f"in the key of the load `{each.key}`"


def _comes_from(document: Document, step: object, extract: str) -> bool:
    """Whether the rows of a step are those of an extract, with nothing but checks between."""
    while isinstance(step, str) and step in document.steps and document.steps[step].kind == "check":
        step = document.steps[step].spec.input
    return step == extract
