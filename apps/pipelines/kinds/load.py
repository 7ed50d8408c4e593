"""`load`: the rows of a step become a snapshot of a dataset, exactly once for the windows that they come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from apps.pipelines import arrival, ingestion
from apps.pipelines import windows as w
from apps.pipelines.execution.frame import new_context
from apps.pipelines.execution.kinds import Done, KindAdapter, RunAgain, Verdict
from apps.pipelines.graph import Graph
from apps.pipelines.kinds.inputs import input_tables, spec_of
from apps.pipelines.models import Run, StepRun, Window
from apps.pipelines.plans import SEED
from apps.snapshots import queries as snapshots
from apps.snapshots import services
from apps.snapshots.models import Dataset, Snapshot
from dataplane.errors import ConfigurationError, DataError
from dataplane.steps.base import StagedFile, StepContext, StepResult, Table
from dataplane.steps.log import Line

NOTHING_NEW = "nothing_new"
ALREADY_DONE = "already_done"
OVERTAKEN = "overtaken"


class LoadAdapter(KindAdapter):
    kind = "load"

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        spec = spec_of(step)
        graph = w.graph_of(run)
        batch = w.taken_up(run)
        dataset = _dataset(run, spec.dataset)
        extras: dict[str, Any] = {
            "load_key": w.load_key(graph, step.key, run, batch),
            "mode": "replace" if w.replaces(graph, step.key, batch) else spec.mode,
            "head": dataset.head,
        }
        older = spec.mode != "append" and w.overtaken(graph.incremental_direct(step.key), batch)
        overtaken = (older and spec.mode == "replace") or (spec.mode != "append" and _behind(step, run, graph, dataset))
        extras["verdict"] = _idle(dataset, extras["load_key"], overtaken)
        if extras["verdict"]:
            return new_context(step, {}, extras), spec
        if spec.mode != "replace" and extras["mode"] == "replace":
            refuse_old_seed(step, run, dataset.slug, batch)
        elif older:
            raise merge_overtaken(dataset.slug)
        table = input_tables(step, run, spec)["input"]
        inputs = {"input": replace(table, rejected=set_aside(step, run, graph))}
        head = snapshots.table_of(snapshots.snapshot(dataset, dataset.head)) if dataset.head else None
        if head is not None and extras["mode"] == "merge":
            inputs["parent"] = head
        bound = extras["mode"] != "replace" or spec.schema_ == "freeze"
        extras["columns"] = head.columns if head is not None and bound else ()
        return new_context(step, inputs, extras), spec

    def execute(self, context: StepContext, spec: Any) -> StepResult:
        """Nothing is written where there is nothing to load."""
        extras = context.extras
        result = StepResult() if extras["verdict"] else super().execute(context, spec)
        result.facts |= {name: extras[name] for name in ("load_key", "mode", "head", "verdict")}
        return result

    def tell(self, step: StepRun, result: StepResult, verdict: Verdict) -> list[Line]:
        output = verdict.output or {}
        said = {
            NOTHING_NEW: "Nothing new reaches it.",
            ALREADY_DONE: "It was loaded before; nothing was added twice.",
            OVERTAKEN: "Newer rows were loaded since; nothing was replaced.",
        }.get(output["status"])
        if said is None and "destination" in output:
            said = f"Loaded {output['rows']:,} rows into {output['table']} of {output['destination']}."
        elif said is None:
            said = f"Loaded {output['rows']:,} rows: snapshot {output['snapshot']} of {output['dataset']}."
        return [Line(said, fields=output)]

    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        graph = w.graph_of(run)
        spec = spec_of(step)
        dataset = services.lock([_dataset(run, spec.dataset).pk]).popitem()[1]
        known = Snapshot.objects.filter(dataset=dataset, load_key=result.facts["load_key"] or "").first()
        if known is not None:
            output = {"status": ALREADY_DONE, "dataset": dataset.slug, "snapshot": known.number, "rows": 0}
        elif result.facts["verdict"]:
            output = {"status": result.facts["verdict"], "dataset": dataset.slug, "snapshot": None, "rows": 0}
        else:
            output = self._add(step, run, graph, result, dataset)
        ingestion.prove(run, step, output)
        arrival.loaded(run, graph, step.key)
        return Done(output)

    def _add(self, step: StepRun, run: Run, graph: Graph, result: StepResult, dataset: Dataset) -> dict[str, Any]:
        table = result.table
        assert table is not None
        load = services.Load(
            pipeline=run.pipeline_id,
            step_key=step.key,
            run=run.pk,
            load_key=result.facts["load_key"],
            mode=result.facts["mode"],
            columns=table.columns,
            files=table.files,
            removed=result.facts.get("removed", ()),
            reason=run.mode_reason,
        )
        try:
            snapshot = services.commit_snapshot(dataset, load, parent=result.facts["head"])
        except services.HeadMoved:
            raise RunAgain from None
        whole = load.mode == "replace" or (load.mode == "merge" and not graph.incremental_direct(step.key))
        services.commit_rejected(dataset, load, table.rejected, whole=whole)
        rows = table.rows if result.rows_out is None else result.rows_out
        done = {"status": "loaded", "dataset": dataset.slug, "snapshot": snapshot.number, "rows": rows}
        return done | (result.facts["counts"] if load.mode == "merge" else {})


def merge_overtaken(target: str) -> DataError:
    """Windows that were planned before others which have been merged since."""
    return DataError(
        f"Newer rows were merged into `{target}` since these were planned; merging the older ones now would "
        "bring back the past. Read everything again with mode seed.",
        code="merge_overtaken",
        evidence={"target": target},
        suggestions=[SEED],
    )


def _idle(dataset: Dataset, load_key: str | None, overtaken: bool) -> str | None:
    """Why there is nothing to load, if so."""
    if load_key is None:
        return NOTHING_NEW
    if dataset.snapshots.filter(load_key=load_key).exists():
        return ALREADY_DONE
    return OVERTAKEN if overtaken else None


def _behind(step: StepRun, run: Run, graph: Graph, dataset: Dataset) -> bool:
    """Whether a retry took over whole streams that another run has read and loaded again since."""
    taken_over = run.steps.filter(key__in=graph.direct(step.key), state="reused")
    if graph.incremental_above(step.key) or not taken_over.exists():
        return False
    family = Run.objects.filter(root=run.root).values("pk")
    return dataset.snapshots.filter(run__gt=run.root).exclude(run__in=family).exists()


def refuse_old_seed(step: StepRun, run: Run, target: str, batch: dict[str, Window]) -> None:
    """A seed that lacks rows that are here: newer ones have arrived, or an extract was left out or did not answer."""
    graph = w.graph_of(run)
    if w.overtaken(graph.incremental_above(step.key), batch):
        lacks = "rows that were added since"
    elif w.in_part(run, graph.incremental_direct(step.key), batch):
        lacks = "those of a stream that it has not read"
    else:
        return
    raise DataError(
        f"What the seed had read would replace all rows of `{target}`, also {lacks}. Read everything again with mode "
        "seed.",
        code="seed_overtaken",
        evidence={"target": target},
        suggestions=[SEED],
    )


def _dataset(run: Run, slug: str) -> Dataset:
    dataset = Dataset.objects.filter(project_id=run.project_id, slug=slug, hidden=False).first()
    if dataset is None or dataset.owner_pipeline != run.pipeline_id:
        raise ConfigurationError(
            f"The dataset `{slug}` is no longer loaded by this pipeline. Publish its document again.",
            code="dataset_not_owned",
            evidence={"dataset": slug},
        )
    return dataset


def set_aside(step: StepRun, run: Run, graph: Graph) -> tuple[StagedFile, ...]:
    """The rows that steps above this load have rejected or put in quarantine, up to the next dataset."""
    above = graph.direct(step.key)
    found: dict[str, StagedFile] = {}
    for table in run.steps.filter(key__in=above).values_list("table", flat=True):
        if table is not None:
            found |= {each.path: each for each in Table.from_json(table).rejected}
    return tuple(found.values())
