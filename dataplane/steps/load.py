"""The load step: staged files become the files of a dataset's next snapshot."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from dataplane.steps.base import Spec, StepKind


class LoadSpec(Spec):
    """Which step's rows go into which dataset, and whether they join the rows that are there or take their place."""

    input: Annotated[str, StringConstraints(min_length=1)]
    dataset: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
    mode: Literal["append", "replace"] = "append"


class LoadStep(StepKind):
    """Makes the input's files the dataset's own; the snapshot itself is a row, written with the commit of the step."""

    kind = "load"
    Spec = LoadSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {"input": spec.input}
