"""What a tick looks at: by when a dataset or a stream is loaded again, and what a source costs."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow
from apps.pipelines import states
from apps.snapshots.models import Dataset
from apps.sources.models import Source, Stream


class Freshness(ProjectRow):
    """By when a dataset, or a stream, has to be loaded again (`Expected`), and how it was when a tick looked last."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, null=True, blank=True, related_name="freshness")
    stream = models.OneToOneField(Stream, on_delete=models.CASCADE, null=True, blank=True, related_name="freshness")
    expected = models.JSONField()
    state = models.CharField(max_length=8, default="fresh")
    state_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "freshness"
        constraints = [
            models.CheckConstraint(
                condition=Q(dataset__isnull=False, stream__isnull=True) | Q(dataset__isnull=True, stream__isnull=False),
                name="freshness_of_one",
            ),
            models.CheckConstraint(condition=Q(state__in=states.FRESHNESS), name="freshness_state_known"),
        ]
        triggers = audited(
            name=["dataset__slug", "stream__source__slug", "stream__name"], skip=["project", "state", "state_at"]
        )

    def __str__(self) -> str:
        return f"freshness of {self.subject}"

    @property
    def subject(self) -> Dataset | Stream:
        """Of what it is expected."""
        subject = self.dataset or self.stream
        assert subject is not None
        return subject


class Spending(ProjectRow):
    """What a source costs: its prices, the budget for a month, and how that stood when a tick looked last."""

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="spending")
    currency = models.CharField(max_length=3, default="EUR")
    per_call = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0))
    per_gb_read = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0))
    per_gb_month = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0))
    budget = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    state = models.CharField(max_length=8, default="within")
    state_at = models.DateTimeField(auto_now_add=True)
    spent = models.DecimalField(max_digits=14, decimal_places=2, default=Decimal(0))

    class Meta:
        ordering = ["source__slug"]
        verbose_name_plural = "spending"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=states.SPENDING), name="spending_state_known"),
        ]
        triggers = audited(name=["source__slug"], skip=["state", "state_at", "spent"])

    def __str__(self) -> str:
        return f"spending of {self.source}"
