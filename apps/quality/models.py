"""What was checked, and what was found."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.audit.visibility import ProjectRow


class CheckResult(ProjectRow):
    """The outcome of one rule in one execution of one check step. Runs and steps are named by plain ids."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="check_results")
    pipeline = models.UUIDField()
    run = models.UUIDField()
    step = models.UUIDField()
    step_key = models.CharField(max_length=63)
    position = models.PositiveSmallIntegerField()
    rule = models.CharField(max_length=32)
    name = models.CharField(max_length=200)
    columns = models.JSONField(default=list)
    definition = models.JSONField()
    action = models.CharField(max_length=16)
    passed = models.BooleanField()
    failed_rows = models.BigIntegerField()
    total_rows = models.BigIntegerField()
    fraction = models.FloatField()
    samples = models.JSONField(default=list)
    seconds = models.FloatField()
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position"]
        indexes = [models.Index(fields=["run", "step_key"]), models.Index(fields=["pipeline", "-at"])]
        constraints = [models.UniqueConstraint(fields=["step", "position"], name="one_result_per_rule")]

    def __str__(self) -> str:
        return f"{self.rule} {'passed' if self.passed else 'failed'}"
