"""`load` into a table of a destination: done outside, in a transaction that also keeps a row of the ledger there.

A worker that dies between that commit and ours leaves a load that the next attempt finds done.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Any

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from apps.pipelines import arrival, failpoints, ingestion
from apps.pipelines import windows as w
from apps.pipelines.execution.frame import new_context
from apps.pipelines.execution.kinds import Done, KindAdapter, Verdict
from apps.pipelines.graph import Graph
from apps.pipelines.kinds.inputs import input_tables, spec_of
from apps.pipelines.kinds.load import (
    ALREADY_DONE,
    NOTHING_NEW,
    OVERTAKEN,
    LoadAdapter,
    merge_overtaken,
    refuse_old_seed,
    set_aside,
)
from apps.pipelines.models import Run, StepRun
from apps.snapshots import services as snapshots
from apps.snapshots.models import Dataset, Snapshot
from apps.sources import services as sources
from apps.sources.models import Source
from dataplane.connectors.destination import Load, Loaded
from dataplane.errors import ConfigurationError
from dataplane.steps.base import StepContext, StepResult


class AnyLoadAdapter(LoadAdapter):
    """Loads into datasets as its base does, and into outside tables."""

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        spec = spec_of(step)
        if spec.destination is None:
            return super().prepare(step, run)
        graph, batch = w.graph_of(run), w.taken_up(run)
        source = _source(run, spec.destination)
        key = w.load_key(graph, step.key, run, batch)
        extras: dict[str, Any] = {"verdict": NOTHING_NEW if key is None else None, "load_key": key}
        older = spec.mode != "append" and w.overtaken(graph.incremental_direct(step.key), batch)
        if (older and spec.mode == "replace") or (spec.mode != "append" and _behind(step, run, graph)):
            extras["verdict"] = extras["verdict"] or OVERTAKEN
        extras["known"] = None if extras["verdict"] else _known(step, run, spec, key)
        if extras["verdict"] or extras["known"]:
            return new_context(step, {}, extras), spec
        seeds = w.replaces(graph, step.key, batch)
        if seeds and spec.mode != "replace":
            refuse_old_seed(step, run, spec.table, batch)
        elif older:
            raise merge_overtaken(spec.table)
        extras |= {
            "connector": sources.connector_of(source),
            "destination": source.slug,
            "load": _load(step, run, spec, str(key), seeds=seeds, complete=not graph.incremental_direct(step.key)),
            "passed": lambda place: failpoints.hit(f"outside_{place}"),
        }
        table = replace(input_tables(step, run, spec)["input"], rejected=set_aside(step, run, graph))
        return new_context(step, {"input": table}, extras), spec

    def execute(self, context: StepContext, spec: Any) -> StepResult:
        if spec.destination is None:
            return super().execute(context, spec)
        extras = context.extras
        if extras["known"]:
            result = StepResult(rows_out=0, facts={"loaded": extras["known"], "waited": 0.0})
        else:
            result = StepResult() if extras["verdict"] else KindAdapter.execute(self, context, spec)
        result.facts |= {name: extras.get(name) for name in ("load_key", "verdict", "load")}
        return result

    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        spec = spec_of(step)
        if spec.destination is None:
            return super().commit(step, run, result)
        done: Loaded | None = result.facts.get("loaded")
        key = result.facts["load_key"]
        about = {"destination": spec.destination, "table": spec.table, "mode": spec.mode, "load_key": key}
        output = {"status": result.facts["verdict"], "rows": 0, **about}
        if done is not None:
            output = asdict(done) | {"rows": result.rows_out, "waited": result.facts["waited"], **about}
            if result.table is not None:
                _keep_rejected(step, run, result)
        ingestion.prove(run, step, output)
        arrival.loaded(run, w.graph_of(run), step.key)
        return Done(output)


def _known(step: StepRun, run: Run, spec: Any, key: str | None) -> Loaded | None:
    """What became of this load before, where that is kept here: the ledger forgets what is."""
    of_run = {"run__batch": run.batch} if run.batch else {"run__root": run.root}
    earlier = _done(step, run, spec).filter(output__load_key=key, **of_run)
    found = earlier.values_list("output", flat=True).first() if key else None
    if found is None:
        return None
    return Loaded("already_done", *(found[each] for each in ("inserted", "updated", "deleted", "skipped")))


def _settled(step: StepRun, run: Run, spec: Any, keys: Sequence[str]) -> Collection[str]:
    """Which of these loads into the same table are kept here as done; none where the database cannot be asked now.

    It is asked while the rows are there uncommitted, on a connection that nobody has used for as long as that took.
    """
    done = _done(step, run, spec).filter(output__load_key__in=keys)
    try:
        return set(done.values_list("output__load_key", flat=True))
    except (OperationalError, InterfaceError):
        return ()


def _done(step: StepRun, run: Run, spec: Any) -> QuerySet[StepRun]:
    """The loads of a step into this table, under this name, that are kept here as done."""
    rows = StepRun.objects.filter(run__pipeline=run.pipeline_id, key=step.key, state="succeeded")
    same = {"output__destination": spec.destination, "output__table": spec.table}
    return rows.filter(output__status__in=("loaded", ALREADY_DONE), **same)


def _load(step: StepRun, run: Run, spec: Any, key: str, *, seeds: bool, complete: bool) -> Load:
    """A seed puts all rows in the place of those that were added before; a merge of all rows is exact as it is."""
    return Load(
        pipeline=run.pipeline_id,
        step=step.key,
        table=spec.table,
        key=key,
        run=_execution(step),
        mode="replace" if seeds and spec.mode == "append" else spec.mode,
        by=spec.key or (),
        delete_missing=spec.delete_missing,
        policy=spec.schema_,
        complete=seeds or complete,
        settled=lambda keys: _settled(step, run, spec, keys),
    )


def _execution(step: StepRun) -> uuid.UUID:
    """An id that grows from one execution to the next, by the clock of Manifold's database."""
    assert step.started_at is not None
    microseconds = int(step.started_at.timestamp() * 1_000_000)
    return uuid.UUID(int=(microseconds << 64) | (step.pk.int & (2**64 - 1)))


def _source(run: Run, slug: str) -> Source:
    found = Source.objects.filter(project_id=run.project_id, slug=slug).select_related("credential").first()
    if found is None:
        raise ConfigurationError(
            f"The source `{slug}`, which is a destination of this pipeline, is gone. Add it again, or name another in "
            "the document.",
            code="destination_missing",
            evidence={"destination": slug},
        )
    if not found.writable:
        raise ConfigurationError(
            f"The source `{slug}` is not marked writable, so nothing is loaded into it. An Admin can allow it on the "
            "source's page.",
            code="destination_not_writable",
            evidence={"destination": slug},
        )
    return found


def _behind(step: StepRun, run: Run, graph: Graph) -> bool:
    """Whether a retry took over whole streams that another run has read and loaded again since."""
    taken_over = run.steps.filter(key__in=graph.direct(step.key), state="reused")
    if graph.incremental_above(step.key) or not taken_over.exists():
        return False
    others = StepRun.objects.filter(run__pipeline=run.pipeline_id, run__gt=run.root, key=step.key, kind="load")
    return others.filter(state="succeeded", output__status="loaded").exclude(run__root=run.root).exists()


def _keep_rejected(step: StepRun, run: Run, result: StepResult) -> None:
    """What was set aside on the way, in a hidden dataset of the step's own: once, however often a load is repeated."""
    rejected = result.table.rejected if result.table else ()
    done: Load = result.facts["load"]
    whole = done.mode == "replace" or (done.mode == "merge" and done.complete)
    if not rejected and not whole:
        return
    slug = f"{run.pipeline.slug}.{step.key}"[:90]
    owner = {"owner_pipeline": run.pipeline_id, "owner_step": step.key}
    beside = Dataset(project_id=run.project_id, slug=slug, **owner)
    key = result.facts["load_key"]
    hidden = Snapshot.objects.filter(dataset__project=run.project_id, dataset__slug=f"{slug}{snapshots.REJECTED}")
    if hidden.filter(load_key=key).exists():
        return
    load = snapshots.Load(
        pipeline=run.pipeline_id,
        step_key=step.key,
        run=run.pk,
        load_key=key,
        mode="replace" if whole else "append",
        columns=(),
        files=(),
        reason=run.mode_reason,
    )
    snapshots.commit_rejected(beside, load, rejected, whole=whole)
