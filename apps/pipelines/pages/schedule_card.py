"""What the page of a pipeline shows of its schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apps.pipelines import schedules, services
from apps.pipelines import text as texts
from apps.pipelines.models import Pipeline
from apps.pipelines.problems import DocumentError
from apps.pipelines.schedule import zone


def card(pipeline: Pipeline) -> dict[str, Any]:
    """What the pipeline's page shows of its schedule."""
    found = schedules.schedule_json(pipeline, schedules.clock())
    moments = [datetime.fromisoformat(each["at"]) for each in found["next"]]
    return found | {
        "moments": moments,
        "tz": zone(found["timezone"] or "UTC"),
        "drafted": bool(pipeline.draft) and _plain(drafted(pipeline)) != (found["definition"] or {}),
    }


def _plain(written: dict[str, Any]) -> dict[str, Any]:
    """A schedule without what goes without saying; as it is written where it is not valid."""
    try:
        return schedules.plain(schedules.understood(written)) if written else {}
    except DocumentError:
        return written


def drafted(pipeline: Pipeline) -> dict[str, Any]:
    """The schedule that the draft says, or what is published where there is none; nothing where it cannot be read."""
    found = texts.said(services.text_of(pipeline)).get("schedule")
    return found if isinstance(found, dict) else {}
