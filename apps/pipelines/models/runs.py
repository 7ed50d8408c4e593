"""Runs, their steps, what was asked of people, and their log."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.accounts.models import Project
from apps.audit.ids import new_id
from apps.audit.triggers import frozen_when
from apps.audit.visibility import ProjectRow
from apps.pipelines import states
from apps.pipelines.models.backfills import Backfill
from apps.pipelines.models.documents import Pipeline, PipelineVersion
from apps.pipelines.models.transitions import legal


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
            models.Index(fields=["root"], name="run_family"),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="run_batch"),
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
    # Steps of a run are found by the index of `step_once_per_run`.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    key = models.CharField(max_length=63)
    kind = models.CharField(max_length=32)
    position = models.PositiveSmallIntegerField()
    spec = models.JSONField(default=dict)
    upstream = models.JSONField(default=list)
    # Those of `upstream` that it only waits for: nothing of theirs reaches it.
    after = models.JSONField(default=list, db_default=[])
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
            ),
            # The end of each step asks which others of its run are open: a run may have thousands that are not.
            models.Index(
                fields=["run", "state"], condition=Q(state__in=sorted(states.STEP_OPEN)), name="step_open_of_run"
            ),
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
