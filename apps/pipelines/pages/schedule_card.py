"""What the page of a pipeline shows of its schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.pipelines import schedules
from apps.pipelines import text as texts
from apps.pipelines.models import Pipeline
from apps.pipelines.schedule import zone


def card(pipeline: Pipeline) -> dict[str, Any]:
    """What the pipeline's page shows of its schedule."""
    found = schedules.schedule_json(pipeline, schedules.clock())
    moments = [datetime.fromisoformat(each["at"]) for each in found["next"]]
    return found | {
        "moments": moments,
        "tz": zone(found["timezone"] or "UTC"),
        "drafted": drafted(pipeline) != (found["definition"] or {}),
    }


def drafted(pipeline: Pipeline) -> dict[str, Any]:
    """The schedule that the draft says, or what is published where there is none; nothing where it cannot be read."""
    text = pipeline.draft or (pipeline.published.text if pipeline.published else "")
    value, _, _ = texts.read(text)
    found = value.get("schedule") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
