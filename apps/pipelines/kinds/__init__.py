"""What each kind of step reads before its work and commits after it; see `execution/kinds.py`."""

from __future__ import annotations

from apps.pipelines import ingestion
from apps.pipelines.execution import kinds
from apps.pipelines.kinds.check import CheckAdapter
from apps.pipelines.kinds.extract import ExtractAdapter
from apps.pipelines.kinds.follow import follow
from apps.pipelines.kinds.outside import AnyLoadAdapter
from apps.pipelines.kinds.plan import PlanAdapter
from apps.pipelines.kinds.sql import SqlAdapter


def register() -> None:
    """Make every kind known to the run engine. Harmless when repeated."""
    for adapter in (PlanAdapter(), ExtractAdapter(), CheckAdapter(), SqlAdapter(), AnyLoadAdapter()):
        kinds.register(adapter)
    kinds.on_close(follow)
    kinds.on_close(ingestion.keep)
