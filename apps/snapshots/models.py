"""What is kept: datasets, their immutable numbered snapshots, and the files those consist of."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.accounts.models import Project, User
from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow


class Dataset(ProjectRow):
    """A named table of a project, written by one owning load step. `head` is its newest snapshot; 0 is none."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="datasets")
    slug = models.CharField(max_length=100)
    title = models.CharField(max_length=200, blank=True)
    hidden = models.BooleanField(default=False)
    owner_pipeline = models.UUIDField()
    owner_step = models.CharField(max_length=63)
    head = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="dataset_slug")]
        triggers = audited(only=["title", "hidden", "owner_pipeline", "owner_step"])

    def __str__(self) -> str:
        return self.slug


class Snapshot(ProjectRow):
    """One immutable version of a dataset. It holds the files with added_in <= number < removed_in (or none)."""

    project_path = "dataset__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="snapshots")
    number = models.PositiveIntegerField()
    parent = models.PositiveIntegerField(default=0)
    mode = models.CharField(max_length=16)
    rows = models.BigIntegerField()
    bytes = models.BigIntegerField()
    files = models.PositiveIntegerField()
    schema = models.JSONField()
    pipeline = models.UUIDField()
    step_key = models.CharField(max_length=63)
    load_key = models.CharField(max_length=80)
    run = models.UUIDField()
    reason = models.CharField(max_length=300, blank=True)
    labels = models.JSONField(default=list)
    locked = models.BooleanField(default=False)
    golden = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="snapshot_number"),
            models.UniqueConstraint(fields=["dataset", "load_key"], name="snapshot_once_per_load"),
        ]
        triggers = audited(name=["dataset__slug", "number"], only=["labels", "locked", "golden"])

    def __str__(self) -> str:
        return f"{self.dataset}@{self.number}"


class DataFile(ProjectRow):
    """A Parquet file of a dataset, below the storage root, from the snapshot that added to the one that removed it."""

    project_path = "dataset__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="data_files")
    path = models.TextField(unique=True)
    rows = models.BigIntegerField()
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    added_in = models.PositiveIntegerField()
    removed_in = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["added_in", "path"]
        indexes = [models.Index(fields=["dataset", "added_in", "removed_in"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(removed_in__isnull=True) | Q(removed_in__gt=F("added_in")), name="file_lives_forward"
            )
        ]

    def __str__(self) -> str:
        return self.path


class SavedQuery(ProjectRow):
    """A query that a project keeps: one SELECT with the parameters it takes, `[{name, type, default}]`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_queries")
    slug = models.SlugField(max_length=63)
    title = models.CharField(max_length=200)
    sql = models.TextField()
    parameters = models.JSONField(default=list)
    owner = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="saved_queries")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["title", "id"]
        verbose_name = "saved query"
        verbose_name_plural = "saved queries"
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="saved_query_slug")]
        triggers = audited(kind="saved query", skip=["updated_at"])

    def __str__(self) -> str:
        return self.slug


class QueryState(models.TextChoices):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Query(ProjectRow):
    """A query that somebody has run: what it read (`tables`, each name with its snapshot's number) and how it ended."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="queries")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="queries")
    saved = models.ForeignKey(SavedQuery, on_delete=models.SET_NULL, null=True, related_name="queries")
    sql = models.TextField()
    parameters = models.JSONField(default=list)
    tables = models.JSONField(default=dict)
    columns = models.JSONField(default=list)
    state = models.CharField(max_length=16, choices=QueryState, default=QueryState.RUNNING)
    rows = models.PositiveIntegerField(null=True)
    cut = models.CharField(max_length=8, blank=True)
    bytes_scanned = models.BigIntegerField(null=True)
    seconds = models.FloatField(null=True)
    error = models.JSONField(null=True)
    # Whoever wishes that it ends; the process that runs it looks here.
    cancelled_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "queries"
        indexes = [
            models.Index(fields=["project", "-created_at"], name="query_newest"),
            models.Index(fields=["created_at"], condition=Q(state="running"), name="query_running"),
        ]

    def __str__(self) -> str:
        return " ".join(self.sql.split())[:80]
