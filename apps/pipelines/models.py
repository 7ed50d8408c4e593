"""Pipelines, their versions, runs, steps of runs, and the windows that make incremental reading exact."""

from __future__ import annotations

from decimal import Decimal

import pgtrigger
from django.db import models
from django.db.models import F, Q

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.audit.triggers import audited, frozen_when
from apps.audit.visibility import ProjectRow
from apps.pipelines import states
from apps.snapshots.models import Dataset
from apps.sources.models import Source


def legal(table: dict[str, frozenset[str]]) -> pgtrigger.Trigger:
    """The database itself refuses a transition that does not stand in the state table."""
    pairs = [(old, new) for old, onward in table.items() for new in sorted(onward)]
    return pgtrigger.FSM(name="legal_transitions", field="state", transitions=pairs)


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


class Run(ProjectRow):
    """One execution of one version. Its states are `states.RUN`; terminal rows never change (trigger)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(PipelineVersion, on_delete=models.PROTECT, related_name="runs")
    state = models.CharField(max_length=16, default="pending")
    outcome = models.CharField(max_length=16, default="clean")
    stop_reason = models.CharField(max_length=16, blank=True)
    requested_mode = models.CharField(max_length=16, default="auto")
    mode = models.CharField(max_length=16, blank=True)
    mode_reason = models.CharField(max_length=500, blank=True)
    trigger = models.CharField(max_length=16, default="manual")
    trigger_key = models.CharField(max_length=200, null=True, blank=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200)
    queue = models.CharField(max_length=16, default="default")
    timeout_s = models.PositiveIntegerField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    start_before = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    retry_of = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retries")
    root = models.UUIDField()
    batch = models.UUIDField(null=True, blank=True)
    collected_at = models.DateTimeField(null=True, blank=True)
    # Since when it is paused or waits for a decision: so long its time limit stands still.
    halted_at = models.DateTimeField(null=True, blank=True)
    halted_by = models.CharField(max_length=200, blank=True)
    halt_reason = models.CharField(max_length=500, blank=True)
    # The steps that were asked for, when not all were; they run with everything that they need.
    only = models.JSONField(default=list, blank=True)
    # The files that were picked by hand, by path or with `*` and `?`; and whether such as were read before are, too.
    files = models.JSONField(default=list, blank=True)
    again = models.BooleanField(default=False)
    # The backfill that it belongs to, and which of its slices it reads.
    backfill = models.ForeignKey(Backfill, on_delete=models.SET_NULL, null=True, blank=True, related_name="runs")
    slice = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["pipeline", "-id"]),
            models.Index(fields=["state"], condition=~Q(state__in=sorted(states.RUN_TERMINAL)), name="run_open"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=sorted(states.RUN)), name="run_state_known"),
            models.CheckConstraint(condition=Q(outcome__in=states.OUTCOMES), name="run_outcome_known"),
            models.UniqueConstraint(
                fields=["pipeline"],
                condition=Q(state__in=sorted(states.RUN_ACTIVE)),
                name="one_active_run_per_pipeline",
            ),
            models.UniqueConstraint(fields=["project", "trigger_key"], name="run_once_per_trigger_key"),
        ]
        triggers = [
            legal(states.RUN),
            *frozen_when(sorted(states.RUN_TERMINAL), ["state", "outcome", "stop_reason", "error", "finished_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline} {self.id}"


class StepRun(ProjectRow):
    """One step of one run. `fence` rises with every claim; every later write of its worker names it."""

    project_path = "run__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    key = models.CharField(max_length=63)
    kind = models.CharField(max_length=32)
    position = models.PositiveSmallIntegerField()
    spec = models.JSONField(default=dict)
    upstream = models.JSONField(default=list)
    # Those of `upstream` that it only waits for: nothing of theirs reaches it.
    after = models.JSONField(default=list)
    may_fail = models.BooleanField(default=False)
    state = models.CharField(max_length=16, default="pending")
    attempt = models.PositiveSmallIntegerField(default=0)
    lost = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    queue = models.CharField(max_length=16, default="default")
    timeout_s = models.PositiveIntegerField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(null=True, blank=True)
    published_at = models.DateTimeField(null=True, blank=True)
    published = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    rows_in = models.BigIntegerField(default=0)
    rows_out = models.BigIntegerField(default=0)
    rows_rejected = models.BigIntegerField(default=0)
    bytes_out = models.BigIntegerField(default=0)
    peak_memory = models.BigIntegerField(default=0)
    progress = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    table = models.JSONField(null=True, blank=True)
    reused_from = models.UUIDField(null=True, blank=True)

    class Meta:
        ordering = ["position"]
        indexes = [
            models.Index(
                fields=["state", "due_at"], condition=Q(state__in=["ready", "running", "retry_wait"]), name="step_open"
            )
        ]
        constraints = [
            models.UniqueConstraint(fields=["run", "key"], name="step_once_per_run"),
            models.CheckConstraint(condition=Q(state__in=sorted(states.STEP)), name="step_state_known"),
        ]
        triggers = [
            legal(states.STEP),
            *frozen_when(sorted(states.STEP_TERMINAL), ["state", "fence", "attempt", "lost", "error", "output"]),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}/{self.key}"

    @property
    def inputs(self) -> list[str]:
        """The steps whose rows reach it."""
        return [each for each in self.upstream if each not in self.after]


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
            models.Index(fields=["pipeline", "step_key", "-id"], name="window_newest"),
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


class Freshness(ProjectRow):
    """By when a dataset has to be loaded again (`freshness.Expected`), and how it was when a tick looked last."""

    project_path = "dataset__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="freshness")
    expected = models.JSONField()
    state = models.CharField(max_length=8, default="fresh")
    state_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dataset__slug"]
        verbose_name_plural = "freshness"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=states.FRESHNESS), name="freshness_state_known"),
        ]
        triggers = audited(name=["dataset__slug"], skip=["state", "state_at"])

    def __str__(self) -> str:
        return f"freshness of {self.dataset}"


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


class Decision(ProjectRow):
    """What a check asked a person, and the answer: `continue` or `stop`; empty as long as nobody has decided."""

    project_path = "run__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="decisions")
    step = models.OneToOneField(StepRun, on_delete=models.CASCADE, related_name="decision")
    question = models.CharField(max_length=1000)
    answer = models.CharField(max_length=16, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    asked_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(answer__in=["", "continue", "stop"]), name="decision_answer_known")
        ]

    def __str__(self) -> str:
        return f"{self.step}: {self.answer or 'open'}"


class LogLine(ProjectRow):
    """One line of a run's log. `step` is empty where the run itself speaks; `number` counts within one execution."""

    project_path = "run__project_id"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="log")
    step = models.CharField(max_length=63, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    fence = models.PositiveIntegerField(default=0)
    number = models.PositiveIntegerField(default=0)
    at = models.DateTimeField()
    level = models.CharField(max_length=8)
    text = models.CharField(max_length=1000)
    fields = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["run", "id"])]
        constraints = [
            # A worker may write the lines of an execution twice: at a heartbeat and with its commit.
            models.UniqueConstraint(
                fields=["run", "step", "fence", "number"], condition=~Q(step=""), name="log_line_once"
            ),
            models.CheckConstraint(condition=Q(level__in=["info", "warning", "error"]), name="log_level_known"),
        ]

    def __str__(self) -> str:
        return f"{self.step} {self.level}: {self.text}"


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
    """A moment of a schedule at which a run was started, once for ever; `left_out` moments before it were missed."""

    project_path = "schedule__pipeline__project_id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    scheduled_for = models.DateTimeField()
    fired_at = models.DateTimeField(auto_now_add=True)
    left_out = models.PositiveIntegerField(default=0)
    run = models.ForeignKey(Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="fires")

    class Meta:
        ordering = ["-scheduled_for"]
        constraints = [models.UniqueConstraint(fields=["schedule", "scheduled_for"], name="fire_once")]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.scheduled_for}"


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
