"""The frame of a step's work: its storage, its folders, its share of the machine, and the tables of its inputs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.pipelines.execution import rows
from apps.pipelines.models import Run, StepRun
from dataplane.errors import BugError
from dataplane.steps.base import StepContext, Table
from dataplane.storage import Storage

_TABLES = """
SELECT key, "table" FROM pipelines_steprun
WHERE run_id = %(run)s AND key = ANY(%(keys)s) AND "table" IS NOT NULL
"""


def storage() -> Storage:
    """The storage root of this installation."""
    return Storage(settings.STORAGE_URL)


def run_folder(run_id: object) -> str:
    """Where the steps of a run write, below the storage root."""
    return f"runs/{run_id}"


def output_folder(step: StepRun) -> str:
    """Where this execution of a step writes: the fence makes it a path that nobody else ever uses."""
    return f"{run_folder(step.run_id)}/{step.key}/{step.fence}"


def spill_root() -> Path:
    """Below it every execution of a step has a folder `<step id>/<fence>` for what DuckDB spills."""
    return Path(settings.MANIFOLD_HOME) / "spill"


def spill_folder(step: StepRun) -> Path:
    """What DuckDB spills in this execution; removed when it is over, by the reaper's tick when the worker died."""
    return spill_root() / str(step.pk) / str(step.fence)


def new_context(step: StepRun, inputs: dict[str, Table], extras: dict[str, Any] | None = None) -> StepContext:
    """The context of one execution; `inputs` by the names that the step's spec gives them."""
    return StepContext(
        key=step.key,
        storage=storage(),
        inputs=inputs,
        output=output_folder(step),
        spill=str(spill_folder(step)),
        memory=settings.STEP_MEMORY,
        threads=settings.STEP_THREADS,
        extras=extras or {},
    )


def tables(run: Run, keys: Iterable[str]) -> dict[str, Table]:
    """What the named steps of this run have staged, by step key. Raises BugError for one that staged no table."""
    wanted = set(keys)
    staged = rows.fetch(_TABLES, {"run": run.pk, "keys": list(wanted)})
    found = {key: Table.from_json(json.loads(table)) for key, table in staged}
    missing = wanted - found.keys()
    if missing:
        raise BugError(f"The step `{min(missing)}` has left no table for the steps after it.", code="missing_input")
    return found
