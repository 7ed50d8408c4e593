"""Where data comes from: sources, their credentials, streams, and every file ever seen."""

from __future__ import annotations

from django.db import models

from apps.accounts.models import Project, User
from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import ProjectRow


class Credential(ProjectRow):
    """Secret fields of a connector, each AES-256-GCM ciphertext bound to this table, row, field and key version.

    expires_on: the last day on which they are good, where somebody has said so.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="credentials")
    slug = models.SlugField(max_length=63)
    connector = models.CharField(max_length=32)
    secrets = models.JSONField(default=dict)
    key_version = models.PositiveIntegerField()
    expires_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="credential_slug")]
        triggers = audited(secret=["secrets"], skip=["changed_at"])

    def __str__(self) -> str:
        return self.slug


class Health(models.TextChoices):
    UNKNOWN = "unknown", "Unknown"
    HEALTHY = "healthy", "Healthy"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"


class Source(ProjectRow):
    """A place that holds data, reached by one connector. `params` holds no secret.

    check_every: so many seconds lie between two tests of the connection; 0 means that it is tested by hand only.
    drift: what a run does when the columns of a stream have changed, one of `dataplane.drift.POLICIES`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="sources")
    slug = models.SlugField(max_length=63)
    title = models.CharField(max_length=200)
    connector = models.CharField(max_length=32)
    params = models.JSONField(default=dict)
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, null=True, blank=True, related_name="sources")
    writable = models.BooleanField(default=False)
    health = models.CharField(max_length=16, choices=Health, default=Health.UNKNOWN)
    health_reason = models.TextField(blank=True)
    health_at = models.DateTimeField(null=True, blank=True)
    check_every = models.PositiveIntegerField(default=900)
    drift = models.CharField(max_length=16, default="evolve")
    next_check_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="source_slug")]
        triggers = audited(skip=["health", "health_reason", "health_at", "next_check_at", "changed_at"])

    def __str__(self) -> str:
        return self.slug


class Grant(ProjectRow):
    """What somebody has let a source do with an API (OAuth 2): its tokens, sealed as the secrets of a credential are.

    token_ends_at: when the token that is held ends; it is renewed before. ends_at: from when on somebody has to connect
    the source again; None where nobody has said, or nothing ends. refused: why it does not hold any more.
    """

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="grant")
    secrets = models.JSONField(default=dict)
    key_version = models.PositiveIntegerField()
    scope = models.CharField(max_length=1000, blank=True)
    token_ends_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    renewed_at = models.DateTimeField(null=True, blank=True)
    refused = models.TextField(blank=True)
    granted_at = models.DateTimeField()
    granted_by = models.CharField(max_length=200)

    class Meta:
        triggers = audited(name=["source__slug"], secret=["secrets"], skip=["token_ends_at", "ends_at", "renewed_at"])

    def __str__(self) -> str:
        return f"grant of {self.source}"


class Connecting(ProjectRow):
    """Somebody is about to connect a source: what has to come back, or the code to enter. A later one replaces it.

    state: its SHA-256, of those who come back to `redirect`; in_session: the browser that began has to bring it, too.
    secrets: the verifier, or the code of the device, sealed. interval: seconds between two questions whether the code
    has been entered, the next at `next_ask_at`.
    """

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="connecting")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=64, null=True, unique=True)
    in_session = models.BooleanField(default=False)
    redirect = models.CharField(max_length=500, blank=True)
    secrets = models.JSONField(default=dict)
    key_version = models.PositiveIntegerField()
    user_code = models.CharField(max_length=100, blank=True)
    address = models.TextField(blank=True)
    address_with_code = models.TextField(blank=True)
    interval = models.PositiveIntegerField(default=0)
    next_ask_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"connecting {self.source}"


class Upload(ProjectRow):
    """A file that was given to a source, under the name by which it is known there. `path` is its place in the storage.

    digest: XXH3, 128 bits, as of every file that is read.
    """

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="uploads")
    name = models.CharField(max_length=200)
    path = models.CharField(max_length=300)
    size = models.BigIntegerField()
    digest = models.CharField(max_length=32)
    uploaded_at = models.DateTimeField(auto_now_add=True)
    uploaded_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["source", "name"], name="upload_name")]
        triggers = audited(name=["source__slug", "name"])

    def __str__(self) -> str:
        return f"{self.source}/{self.name}"


class Stream(ProjectRow):
    """A table, view, query or set of files of a source, with its declared schema and what was sniffed once.

    `config` is a `StreamConfig` as JSON: settings, columns, select, row_filter, query, cursor, lookback, names.
    `seen` are its columns when the source was last looked at, whatever is declared of them; empty where nobody has
    looked since this is kept. drift: as of the source, which it overrules; empty where it does not. drift_answered: the
    kinds of change about which nobody is to be asked any more. warnings: what was said of it when the source was last
    looked at.
    """

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="streams")
    name = models.CharField(max_length=200)
    config = models.JSONField(default=dict)
    rows = models.BigIntegerField(null=True, blank=True)
    bytes = models.BigIntegerField(null=True, blank=True)
    seen = models.JSONField(default=list, blank=True)
    warnings = models.JSONField(default=list, blank=True)
    drift = models.CharField(max_length=16, blank=True)
    drift_answered = models.JSONField(default=list, blank=True)
    discovered_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["source", "name"], name="stream_name")]
        triggers = audited(name=["source__slug", "name"], skip=["rows", "bytes", "seen", "warnings", "changed_at"])

    def __str__(self) -> str:
        return f"{self.source}/{self.name}"


class Inbox(ProjectRow):
    """How many events a source of inbound webhooks was ever given: the newest one has this position."""

    project_path = "source__project_id"

    source = models.OneToOneField(Source, on_delete=models.CASCADE, primary_key=True, related_name="inbox")
    position = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "inboxes"

    def __str__(self) -> str:
        return f"inbox of {self.source}"


class InboxEvent(ProjectRow):
    """An event that was taken, once for each id that its sender gave it. Positions have no gap and follow time."""

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="events")
    position = models.BigIntegerField()
    message_id = models.CharField(max_length=150)
    received_at = models.DateTimeField(auto_now_add=True)
    body = models.BinaryField()

    class Meta:
        ordering = ["-position"]
        constraints = [
            models.UniqueConstraint(fields=["source", "position"], name="inbox_event_position"),
            models.UniqueConstraint(fields=["source", "message_id"], name="inbox_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.message_id}"


class SourceFile(ProjectRow):
    """A file that was seen: its size, time, digest (XXH3, 128 bits) once it was read, and whether it is ignored.

    Pending, processed and failed are no columns: they derive from the windows of each pipeline's step. touched: another
    time of change at which it was found to have the bytes of `digest` all the same, as its place writes it.
    """

    project_path = "stream__source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="files")
    path = models.TextField()
    size = models.BigIntegerField()
    modified = models.DateTimeField()
    file_date = models.DateField(null=True, blank=True)
    digest = models.CharField(max_length=32, blank=True)
    touched = models.CharField(max_length=40, blank=True)
    ignored = models.BooleanField(default=False)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["stream", "path"], name="file_once_per_stream")]

    def __str__(self) -> str:
        return self.path


class ConnectionCheck(ProjectRow):
    """One test of a source, stage by stage, with times and errors in plain words."""

    project_path = "source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="checks")
    at = models.DateTimeField(auto_now_add=True)
    ok = models.BooleanField()
    seconds = models.FloatField()
    stages = models.JSONField()
    actor_name = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["source", "-at"], name="check_newest")]

    def __str__(self) -> str:
        return f"{self.source} at {self.at}"


class Drift(ProjectRow):
    """The columns of a stream were found changed by a run, or by somebody who looked at the source.

    `now` are all its columns then, `changes` what became of those before. state: `followed` (the stream is read so),
    `asked` (a run waits), `stopped` (a run has failed because of it). It is news until `seen_at`.
    """

    project_path = "stream__source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="drifts")
    run = models.UUIDField(null=True, blank=True)
    found_at = models.DateTimeField(auto_now_add=True)
    now = models.JSONField()
    changes = models.JSONField()
    state = models.CharField(max_length=16)
    renames = models.JSONField(default=dict, blank=True)
    settled_by = models.CharField(max_length=200, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    seen_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["stream", "-id"], name="drift_newest")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=["followed", "asked", "stopped"]), name="drift_state_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.stream} changed at {self.found_at}"


class SchemaVersion(ProjectRow):
    """The columns of a stream as some read found them; a new row only when they differ from the last."""

    project_path = "stream__source__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="schema_versions")
    number = models.PositiveIntegerField()
    columns = models.JSONField()
    seen_at = models.DateTimeField(auto_now_add=True)
    run = models.UUIDField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["stream", "number"], name="schema_version_number")]

    def __str__(self) -> str:
        return f"{self.stream} schema {self.number}"
