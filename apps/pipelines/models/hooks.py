"""Hooks by which others start runs, their secrets and their messages."""

from __future__ import annotations

from django.db import models

from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow
from apps.pipelines.models.documents import Pipeline
from apps.pipelines.models.runs import Run


class Hook(ProjectRow):
    """An address below `/hooks/` whose signed messages start runs of one pipeline."""

    project_path = "pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="hooks")
    name = models.CharField(max_length=100)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["pipeline", "name"], name="hook_name")]
        triggers = audited(name=["pipeline__slug", "name"])

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.name}"


class HookSecret(ProjectRow):
    """A secret that messages to a hook may be signed with; several at once while senders change over. Encrypted."""

    project_path = "hook__pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    hook = models.ForeignKey(Hook, on_delete=models.CASCADE, related_name="secrets")
    secrets = models.JSONField(default=dict)
    key_version = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        triggers = audited(kind="hook secret", name=["hook__name"], secret=["secrets"])

    def __str__(self) -> str:
        return f"secret of {self.hook}"


class HookMessage(ProjectRow):
    """A message that was taken, once for ever, and the run that it started."""

    project_path = "hook__pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    hook = models.ForeignKey(Hook, on_delete=models.CASCADE, related_name="messages")
    message_id = models.CharField(max_length=150)
    received_at = models.DateTimeField(auto_now_add=True)
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="hook_messages")

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["hook", "message_id"], name="hook_message_once")]

    def __str__(self) -> str:
        return f"{self.hook} {self.message_id}"
