"""Pipelines and their versions."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow


class Pipeline(ProjectRow):
    """A document with a draft and published versions. `draft` is YAML as it was written; empty: no open draft."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="pipelines")
    slug = models.SlugField(max_length=63)
    title = models.CharField(max_length=200, blank=True)
    draft = models.TextField(blank=True)
    published = models.ForeignKey(
        "PipelineVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="published_for"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    # While it is paused no run of it is admitted; pending ones stay pending.
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=200, blank=True)
    paused_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="pipeline_slug")]
        triggers = audited(skip=["changed_at"])

    def __str__(self) -> str:
        return self.slug


class PipelineVersion(ProjectRow):
    """One immutable copy of a document: the text as written and the document as understood."""

    project_path = "pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    text = models.TextField()
    document = models.JSONField()
    published_at = models.DateTimeField(auto_now_add=True)
    published_by = models.CharField(max_length=200)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["pipeline", "number"], name="version_number")]
        triggers = audited(kind="version", name=["pipeline__slug", "number"], skip=["document"])

    def __str__(self) -> str:
        return f"{self.pipeline} v{self.number}"
