"""What the end of a run means for its windows, and the run that has to follow it."""

from __future__ import annotations

from django.db import transaction

from apps.audit.context import SYSTEM
from apps.pipelines import arrival, backfills, collecting, starting
from apps.pipelines.asked import Asked
from apps.pipelines.graph import PLAN
from apps.pipelines.models import Run


def follow(run: Run) -> None:
    """Close the windows of a run that has succeeded, and start what waits behind a repeated batch.

    While a batch was repeated newer data may have come, and nobody should wait for tomorrow's schedule to see it. A
    branch that failed again, or was skipped, is not repeated at once; what follows is for the others alone. Nothing
    follows a run of only some steps. What dead executions have left behind goes after the commit.
    """
    transaction.on_commit(lambda: collecting.collect_strays(run.pk), robust=True)
    if run.backfill is not None and run.backfill.state == "cancelled":
        backfills.give_up(run.backfill)
    elif run.backfill is None:
        backfills.forget_marks(run.pipeline_id)
    if run.state != "succeeded":
        return
    failed = arrival.close_with(run)
    output = run.steps.filter(key=PLAN).values_list("output", flat=True).first() or {}
    mode = output.get("then")
    version = run.pipeline.published
    if mode is None or version is None or run.only:
        return
    held = arrival.held_up(run)
    if (mode == "repair" and (failed or held)) or (held and held.issuperset(output.get("waits", ()))):
        return
    if run.pipeline.runs.filter(state="pending", backfill=None).exists():
        return
    starting.create_run(
        run.pipeline, version, actor=SYSTEM, trigger="follow_up", asked=Asked(mode), trigger_key=f"follow_up:{run.pk}"
    )
