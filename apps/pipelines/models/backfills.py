"""Ranges of time that are read again, slice by slice."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow
from apps.pipelines import states
from apps.pipelines.models.documents import Pipeline, PipelineVersion
from apps.pipelines.models.transitions import legal


class Backfill(ProjectRow):
    """A range of time that is read in slices, the oldest first, one run for each, whenever no other run wants its turn.

    `slices` are their ends in UTC; `position` is the one whose turn is next. Its states are `states.BACKFILL`.
    """

    project_path = "pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="backfills")
    version = models.ForeignKey(PipelineVersion, on_delete=models.CASCADE, related_name="backfills")
    lower = models.DateTimeField()
    upper = models.DateTimeField()
    every = models.CharField(max_length=16)
    timezone = models.CharField(max_length=64)
    # Whether rows that were read before are read once more, and merged.
    again = models.BooleanField(default=False)
    on_failure = models.CharField(max_length=16)
    # The loads that its runs do; steps that feed none of them are left out.
    loads = models.JSONField()
    slices = models.JSONField()
    position = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=16, default="running")
    reason = models.CharField(max_length=500, blank=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=sorted(states.BACKFILL)), name="backfill_state_known"),
            models.UniqueConstraint(
                fields=["pipeline"],
                condition=Q(state__in=sorted(states.BACKFILL_OPEN)),
                name="one_open_backfill_per_pipeline",
            ),
        ]
        triggers = [
            legal(states.BACKFILL),
            *audited(name=["pipeline__slug"], skip=["slices", "position", "actor_kind", "actor_id", "actor_name"]),
        ]

    def __str__(self) -> str:
        return f"backfill of {self.pipeline}"
