"""Ranges of time as forms ask for them, and as pages show them on the clocks of their zone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict

from apps.audit.refusals import Invalid
from apps.pipelines import backfilling
from apps.pipelines.backfilling import Range
from apps.pipelines.models import Pipeline


def asked(form: QueryDict) -> Range:
    """What the form of a backfill says."""
    return Range(
        form.get("from", "").strip(),
        form.get("to", "").strip(),
        form.get("every") or None,
        form.get("timezone", "").strip() or None,
        again="again" in form,
    )


def at_once(form: QueryDict) -> Range:
    """A range that is read in one run, as the dialog of a run asks for it. Raises Invalid where it names more."""
    if form.getlist("steps"):
        raise Invalid("steps", "A range is read for every load that it reaches. Choose no steps.")
    if form.get("files", "").strip():
        raise Invalid("files", "A range says by itself which files are read. Name none.")
    return Range(form.get("from", "").strip(), form.get("to", "").strip(), "range")


def previewed(pipeline: Pipeline, wanted: Range) -> dict[str, Any]:
    """What a range would read, for the page. Asks the sources now. Raises ManifoldError."""
    found = backfilling.preview(pipeline, wanted)
    return {"preview": found, "slices": worded(found["slices"], found["timezone"])}


def worded(found: Iterable[dict[str, Any]], zone: str) -> list[dict[str, Any]]:
    """What has the ends `from` and `to`, with both as their own zone's clocks and calendar say them."""
    return [each | {"begins": _clock(each["from"], zone), "ends": _clock(each["to"], zone)} for each in found]


def _clock(moment: str, zone: str) -> str:
    local = datetime.fromisoformat(moment).astimezone(ZoneInfo(zone))
    day = f"{local.day} {local:%b %Y}"
    return day if (local.hour, local.minute) == (0, 0) else f"{day}, {local:%H:%M}"
