"""Reads of what checks have found."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from apps.quality.models import CheckResult


def results_of(step_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[dict[str, Any]]]:
    """The outcomes of these steps in the shape `check`, by step, each step's in the order of its rules; one query."""
    found: dict[uuid.UUID, list[dict[str, Any]]] = {}
    wanted = list(step_ids)
    if wanted:
        for each in CheckResult.objects.filter(step__in=wanted).order_by("step", "position"):
            found.setdefault(each.step, []).append(check_json(each))
    return found


def check_json(result: CheckResult) -> dict[str, Any]:
    """The shape `check`."""
    return {
        "rule": result.rule,
        "name": result.name,
        "columns": result.columns,
        "definition": result.definition,
        "action": result.action,
        "passed": result.passed,
        "failed_rows": result.failed_rows,
        "total_rows": result.total_rows,
        "fraction": result.fraction,
        "samples": result.samples,
        "seconds": result.seconds,
    }
