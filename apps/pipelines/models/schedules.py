"""Schedules and when they were due."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow
from apps.pipelines.models.documents import Pipeline
from apps.pipelines.models.runs import Run


class Schedule(ProjectRow):
    """Whether the schedule of a published document is on. When it fires is in the document; here is how far it got.

    Everything up to `decided_until` has been started or left out; `next_at` is when a tick has to look again.
    """

    project_path = "pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.OneToOneField(Pipeline, on_delete=models.CASCADE, related_name="schedule")
    enabled = models.BooleanField(default=False)
    decided_until = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pipeline__slug"]
        indexes = [models.Index(fields=["next_at"], condition=Q(enabled=True), name="schedule_due")]
        triggers = audited(name=["pipeline__slug"], skip=["decided_until", "next_at"])

    def __str__(self) -> str:
        return f"schedule of {self.pipeline}"


class Fire(ProjectRow):
    """A moment of a schedule at which a run was started, once for ever; `left_out` moments before it were missed.

    saw: what tells all that a look for new files has seen from anything else; empty where nobody looked.
    """

    project_path = "schedule__pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    scheduled_for = models.DateTimeField()
    fired_at = models.DateTimeField(auto_now_add=True)
    left_out = models.PositiveIntegerField(default=0)
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="fires")
    saw = models.CharField(max_length=64, blank=True, db_default="")

    class Meta:
        ordering = ["-scheduled_for"]
        constraints = [models.UniqueConstraint(fields=["schedule", "scheduled_for"], name="fire_once")]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.scheduled_for}"
