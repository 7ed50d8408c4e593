"""The inputs of a step as tables: what other steps of the run have staged, and snapshots of datasets."""

from __future__ import annotations

from typing import Any

from apps.pipelines.execution.frame import tables
from apps.pipelines.models import Run, StepRun
from apps.snapshots import queries as snapshots
from dataplane.steps import registry
from dataplane.steps.base import DatasetInput, Table


def spec_of(step: StepRun) -> Any:
    """The document part of a step, as its kind's model."""
    return registry.get(step.kind).Spec.model_validate(step.spec)


def input_tables(step: StepRun, run: Run, spec: Any) -> dict[str, Table]:
    """The tables of a step's inputs, by the names that its spec gives them. Raises ManifoldError for one not there."""
    named = registry.get(step.kind).inputs(spec)
    staged = tables(run, {each for each in named.values() if isinstance(each, str)})
    return {
        name: _dataset(run, each) if isinstance(each, DatasetInput) else staged[each] for name, each in named.items()
    }


def _dataset(run: Run, wanted: DatasetInput) -> Table:
    """The snapshot that this run has loaded, else the head.

    A load that found itself done may name an older snapshot than the head; what comes after it reads the head, or a
    late repeat would bring back the past.
    """
    loads = run.steps.filter(kind="load", spec__dataset=wanted.dataset).values_list("output", flat=True)
    output = loads.first() or {}
    number = output.get("snapshot") if output.get("status") == "loaded" else None
    return snapshots.input_table(run.project_id, wanted.dataset, number)
