"""The windows that make incremental reading exact, and what became of the rows of each."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.audit.visibility import ProjectRow
from apps.pipelines import states
from apps.pipelines.models.backfills import Backfill
from apps.pipelines.models.documents import Pipeline
from apps.pipelines.models.runs import Run

# Rows that were there already are no news. A load that was done before a worker died counts only now.
ARRIVED = Q(state="succeeded") & (Q(fetched__gt=F("skipped")) | Q(loads__contains=[{"status": "already_done"}]))


class Window(ProjectRow):
    """What one extract step reads in one batch: planned, staged, then done with the last load that it feeds.

    The windows that one run plans share a `batch`; while one of them is open the next run repeats that batch exactly.
    failed: closed, though a branch that was allowed to fail has not loaded it. forgotten: overtaken by a seed.
    Those of a backfill are repeated by its own runs only, and say nothing of how far live runs have come.
    """

    project_path = "pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="windows")
    step_key = models.CharField(max_length=63)
    source = models.UUIDField()
    stream = models.CharField(max_length=200)
    batch = models.UUIDField()
    backfill = models.ForeignKey(Backfill, on_delete=models.SET_NULL, null=True, blank=True, related_name="windows")
    bounds = models.JSONField()
    replaces = models.BooleanField(default=False)
    state = models.CharField(max_length=16, default="planned")
    rows = models.BigIntegerField(null=True, blank=True)
    seen = models.TextField(blank=True)
    boundary_rows = models.BigIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    planned_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["pipeline", "step_key", "source", "stream", "-id"], name="window_chain"),
            models.Index(fields=["pipeline"], condition=~Q(state__in=["done", "forgotten"]), name="window_unfinished"),
            # Of windows of messages there may be one a minute: what asks for files leaves them alone.
            models.Index(fields=["source", "stream"], condition=Q(bounds__kind="files"), name="window_of_files"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["batch", "step_key"], name="window_once_per_batch"),
            models.CheckConstraint(
                condition=Q(state__in=["planned", "staged", "done", "failed", "forgotten"]), name="window_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.step_key} {self.state}"


class Ingestion(ProjectRow):
    """What became of the rows of one stream in one run, see `ingestion`; written once, when the run ends.

    source: its id, as long as it was there. bytes: of files as they lie in the source, else as they were staged; 0 of
    what a retry has taken over. calls: requests over HTTP. stored: bytes that the load has added to its dataset.
    seconds: that its steps worked. loads: every load that the rows reach.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="ingestions")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="ingestions")
    step_key = models.CharField(max_length=63)
    source = models.UUIDField(null=True, blank=True)
    source_slug = models.CharField(max_length=63)
    stream = models.CharField(max_length=200)
    state = models.CharField(max_length=16)
    at = models.DateTimeField(auto_now_add=True)
    fetched = models.BigIntegerField()
    inserted = models.BigIntegerField()
    updated = models.BigIntegerField()
    skipped = models.BigIntegerField()
    quarantined = models.BigIntegerField()
    used = models.BigIntegerField()
    bytes = models.BigIntegerField()
    calls = models.BigIntegerField(default=0)
    stored = models.BigIntegerField(default=0)
    seconds = models.FloatField()
    error = models.JSONField(null=True, blank=True)
    loads = models.JSONField(default=list)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "-id"], name="ingestion_newest"),
            models.Index(fields=["source", "-id"], name="ingestion_of_source"),
            models.Index(fields=["source", "stream", "-id"], condition=ARRIVED, name="ingestion_arrived"),
            models.Index(fields=["at"], name="ingestion_at"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["run", "step_key"], name="ingestion_once_per_run"),
            models.CheckConstraint(condition=Q(state__in=states.INGESTION), name="ingestion_state_known"),
            models.CheckConstraint(
                condition=~Q(state="succeeded")
                | Q(fetched=F("inserted") + F("updated") + F("skipped") + F("quarantined") + F("used")),
                name="ingestion_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source_slug}/{self.stream} {self.state}"
