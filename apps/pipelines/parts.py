"""What may stand in a document: its head, and each step with what it carries beside its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from apps.pipelines.expecting import Expected
from apps.pipelines.schedule import Schedule
from dataplane.steps import registry
from dataplane.steps.base import DatasetInput, Spec

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
StepKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
Seconds = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]
Queue = Literal["critical", "default", "bulk"]


class Retry(Spec):
    """When a step is tried again: `attempts` counts executions, and the last delay (in seconds) repeats."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    delays: Annotated[tuple[Annotated[float, Field(ge=0, le=86400)], ...], Field(min_length=1, max_length=20)] = (
        10,
        60,
        300,
    )
    on: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]+$", max_length=63)], ...] = (
        "transient",
        "infrastructure",
    )


class StepSettings(Spec):
    """What a step of any kind may carry beside its kind."""

    retry: Retry | None = None
    timeout: Seconds | None = None
    if_failed: Literal["stop", "continue"] = "stop"
    after: tuple[StepKey, ...] = ()
    expected: Expected | None = None


class Header(Spec):
    """A document without the inside of its steps."""

    manifold: Literal[1]
    pipeline: Slug
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    steps: Annotated[dict[StepKey, dict[str, Any]], Field(min_length=1, max_length=500)]
    retry: Retry = Retry()
    timeout: Seconds | None = None
    priority: Queue = "default"
    if_running: Literal["queue", "skip"] = "queue"
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Step:
    """One step: its kind, the kind's own part as a model and as it was written, and its settings."""

    key: str
    kind: str
    spec: Any
    written: dict[str, Any]
    settings: StepSettings

    @property
    def inputs(self) -> dict[str, str | DatasetInput]:
        """Name within the step -> id of another step, or a dataset."""
        return registry.get(self.kind).inputs(self.spec)
