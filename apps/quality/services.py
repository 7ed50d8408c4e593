"""Keeping what checks have found."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from apps.quality.models import CheckResult

_KEPT = (
    "position",
    "rule",
    "name",
    "columns",
    "definition",
    "action",
    "passed",
    "failed_rows",
    "total_rows",
    "fraction",
    "samples",
    "seconds",
)


def record_results(
    *,
    project_id: uuid.UUID,
    pipeline_id: uuid.UUID,
    run_id: uuid.UUID,
    step_id: uuid.UUID,
    step_key: str,
    outcomes: Iterable[Mapping[str, Any]],
) -> list[CheckResult]:
    """Keep the outcomes of a step's rules (`dataplane.checks.outcome`), in the transaction that ends the step.

    A step that runs again replaces what its earlier attempt has found. No event is written: the run engine records how
    the step ended, and results are no configuration.
    """
    CheckResult.objects.filter(step=step_id).delete()
    return CheckResult.objects.bulk_create(
        CheckResult(
            project_id=project_id,
            pipeline=pipeline_id,
            run=run_id,
            step=step_id,
            step_key=step_key,
            **{name: each[name] for name in _KEPT},
        )
        for each in outcomes
    )
