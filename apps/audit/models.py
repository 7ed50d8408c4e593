"""The audit log: one append-only table, and the seals that make any edit of it visible."""

from __future__ import annotations

from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models.functions import Now

from apps.audit.triggers import append_only, stamped
from apps.audit.visibility import VisibleQuerySet


class Event(models.Model):
    """Something that happened, who did it, and what the row was before and after.

    Configuration tables are recorded by a database trigger; verbs that change no such row by `services.record`.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    transaction_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    # An xid8 of the cluster that is named beside it: a restored log goes on in another cluster, which counts anew.
    xid = models.DecimalField(max_digits=20, decimal_places=0, editable=False)
    cluster = models.CharField(max_length=32, editable=False)
    project = models.UUIDField(null=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200)
    request_id = models.CharField(max_length=64, blank=True)
    verb = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=300, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    data = models.JSONField(default=dict)

    project_path = "project"
    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "-id"]),
            models.Index(fields=["project", "verb", "-id"], name="event_by_verb"),
            models.Index(fields=["project", "object_type", "-id"], name="event_by_type"),
            models.Index(fields=["object_type", "object_id", "-id"]),
            models.Index(fields=["cluster", "xid"]),
        ]
        triggers = [*stamped(), *append_only()]

    def __str__(self) -> str:
        return f"{self.verb} {self.object_type} {self.object_name or self.object_id}"


class Seal(models.Model):
    """A link of the hash chain over the events of a half-open range of transaction ids of one cluster.

    `leaves` holds, for each event in the order of the ids, the id in 8 bytes and the first 16 bytes of the SHA-256 of
    its canonical text, so that an edit can be told by row.
    """

    id = models.BigAutoField(primary_key=True)
    cluster = models.CharField(max_length=32)
    xid_from = models.DecimalField(max_digits=20, decimal_places=0)
    xid_until = models.DecimalField(max_digits=20, decimal_places=0)
    events = models.PositiveIntegerField()
    leaves = models.BinaryField()
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    sealed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["id"]
        triggers = append_only()

    def __str__(self) -> str:
        return f"seal {self.id}"
