"""The shapes of pipelines, runs and plans, for bodies and for the OpenAPI document. The answers come from `queries`."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from apps.pipelines import filestates, states
from apps.pipelines.control import ANSWERS
from apps.pipelines.services import MODES
from apps.pipelines.text import LARGEST
from apps.quality.api import CheckSerializer
from dataplane.steps.log import LEVELS

RUN_STATES = sorted(states.RUN)
STEP_STATES = sorted(states.STEP)
HEALTH = ["draft", "idle", "running", "healthy", "warning", "failing"]


class Shape(s.Serializer[Any]):
    """A shape that is read from a dictionary; it writes nothing by itself."""


class TextBody(Shape):
    text = s.CharField(trim_whitespace=False, max_length=LARGEST, help_text="The document, as YAML.")


class ApplyBody(TextBody):
    publish = s.BooleanField(default=False, help_text="Publish it at once; needs the role Admin.")


class CreateBody(Shape):
    slug = s.RegexField(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z", max_length=63)
    text = s.CharField(trim_whitespace=False, max_length=LARGEST, default="", allow_blank=True)


class DraftBody(Shape):
    text = s.CharField(trim_whitespace=False, max_length=LARGEST, allow_blank=True)


class PlanBody(Shape):
    mode = s.ChoiceField(MODES, default="auto")
    steps = s.ListField(
        child=s.CharField(max_length=63), default=list, max_length=500, help_text="Only these, with what they need."
    )

    files = s.ListField(
        child=s.CharField(max_length=1000),
        default=list,
        max_length=500,
        help_text="Of new files only these, by path or with `*` and `?`.",
    )
    again = s.BooleanField(default=False, help_text="Read these files also where they were read before.")


class FileParameters(Shape):
    step = s.CharField(default="", allow_blank=True, max_length=63, help_text="Only of this step.")
    state = s.ChoiceField(["", *filestates.STATES], default="", allow_blank=True)
    limit = s.IntegerField(default=200, min_value=1, max_value=10_000)


# `source` is also the name of a field's own attribute.
FileState: Any = type(
    "FileState",
    (Shape,),
    {
        "step": s.CharField(),
        "source": s.CharField(),
        "stream": s.CharField(),
        "path": s.CharField(),
        "state": s.ChoiceField(list(filestates.STATES)),
        "size": s.IntegerField(),
        "modified": s.DateTimeField(),
        "file_date": s.DateField(allow_null=True),
        "reason": s.CharField(allow_blank=True, help_text="Of one that failed: what the run has said."),
    },
)


class RunBody(PlanBody):
    if_running = s.ChoiceField(
        ["queue", "skip"], allow_null=True, default=None, help_text="Null: what the document says."
    )


class CloneBody(Shape):
    slug = s.RegexField(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z", max_length=63)
    datasets = s.DictField(
        child=s.RegexField(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*\Z", max_length=63),
        default=dict,
        help_text="What its datasets are called, by the names they have; the others are called after the pipeline.",
    )


class ReasonBody(Shape):
    reason = s.CharField(default="", allow_blank=True, max_length=400)


class DecideBody(ReasonBody):
    answer = s.ChoiceField(ANSWERS, help_text="`stop` fails the run.")
    renames = s.DictField(
        child=s.CharField(),
        default=dict,
        help_text="Columns that have gone, with what they are called now; they go on arriving under their old names.",
    )
    remember = s.BooleanField(
        default=False, help_text="Follow such changes of columns from now on and ask nobody (role Admin)."
    )


class Decision(Shape):
    step = s.CharField()
    question = s.CharField()
    answer = s.ChoiceField(["", *ANSWERS])
    reason = s.CharField()
    asked_at = s.DateTimeField()
    decided_at = s.DateTimeField(allow_null=True)
    decided_by = s.CharField()


class LastRun(Shape):
    id = s.UUIDField()
    state = s.ChoiceField(RUN_STATES)
    outcome = s.ChoiceField(states.OUTCOMES)
    created_at = s.DateTimeField()


class Pipeline(Shape):
    slug = s.CharField()
    title = s.CharField()
    published_version = s.IntegerField(allow_null=True)
    has_draft = s.BooleanField()
    health = s.ChoiceField(HEALTH)
    last_run = LastRun(allow_null=True)
    last_good_at = s.DateTimeField(allow_null=True)
    paused_at = s.DateTimeField(allow_null=True, help_text="While it is paused, no new run begins.")
    paused_by = s.CharField()
    paused_reason = s.CharField()
    created_at = s.DateTimeField()
    changed_at = s.DateTimeField()


class PipelineDetail(Pipeline):
    text = s.CharField(help_text="The draft if there is one, else what is published.")
    draft = s.CharField()
    published_text = s.CharField()


class DocumentProblem(Shape):
    path = s.CharField()
    line = s.IntegerField()
    column = s.IntegerField()
    message = s.CharField()
    remedy = s.CharField()


# `errors` is also the name of a serializer's own attribute.
Validation: Any = type("Validation", (Shape,), {"valid": s.BooleanField(), "errors": DocumentProblem(many=True)})


class Version(Shape):
    number = s.IntegerField()
    text = s.CharField()
    document = s.DictField()
    published_at = s.DateTimeField()
    published_by = s.CharField()


class Estimate(Shape):
    rows = s.IntegerField(allow_null=True)
    bytes = s.IntegerField(allow_null=True)


class PlanStep(Shape):
    key = s.CharField()
    kind = s.CharField()
    reads = s.ListField(child=s.JSONField())
    estimate = Estimate(allow_null=True)
    skip_reason = s.CharField(allow_null=True)
    warnings = s.ListField(child=s.CharField(), help_text="What is left out, and why.")


class Plan(Shape):
    mode = s.ChoiceField(["seed", "incremental", "repair", "full_refresh", "skip"])
    mode_reason = s.CharField()
    steps = PlanStep(many=True)


class Suggestion(Shape):
    id = s.CharField()
    title = s.CharField()
    effect = s.CharField()
    applicable = s.BooleanField()


_ERROR_CLASSES = ["transient", "data", "configuration", "infrastructure", "lost", "bug"]
# `class` is no name that Python allows for an attribute of a class body.
Error: Any = type(
    "Error",
    (Shape,),
    {
        "class": s.ChoiceField(_ERROR_CLASSES),
        "code": s.CharField(),
        "message": s.CharField(),
        "evidence": s.DictField(),
        "retryable": s.BooleanField(help_text="Whether it may work later as it stands."),
        "suggestions": Suggestion(many=True),
        "last_good_run": s.UUIDField(allow_null=True),
    },
)


class Step(Shape):
    id = s.UUIDField()
    key = s.CharField()
    kind = s.CharField()
    state = s.ChoiceField(STEP_STATES)
    attempt = s.IntegerField()
    fence = s.IntegerField()
    upstream = s.ListField(child=s.CharField())
    queued_at = s.DateTimeField(allow_null=True)
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    duration_s = s.FloatField(allow_null=True)
    due_at = s.DateTimeField(allow_null=True, help_text="When a step that waits to retry is tried again.")
    rows_in = s.IntegerField()
    rows_out = s.IntegerField()
    rows_rejected = s.IntegerField()
    bytes_out = s.IntegerField()
    peak_memory = s.IntegerField()
    progress = s.DictField(allow_null=True)
    error = Error(allow_null=True)
    output = s.DictField(allow_null=True)
    checks = CheckSerializer(many=True)


class RunRow(Shape):
    id = s.UUIDField()
    pipeline = s.CharField()
    version = s.IntegerField()
    state = s.ChoiceField(RUN_STATES)
    outcome = s.ChoiceField(states.OUTCOMES)
    mode = s.CharField()
    mode_reason = s.CharField()
    trigger = s.CharField()
    actor = s.CharField()
    created_at = s.DateTimeField()
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)
    duration_s = s.FloatField(allow_null=True)
    rows_read = s.IntegerField()
    rows_written = s.IntegerField()
    rows_rejected = s.IntegerField()
    bytes_written = s.IntegerField()
    progress = s.FloatField(allow_null=True)
    error = Error(allow_null=True)
    retry_of = s.UUIDField(allow_null=True)
    only = s.ListField(child=s.CharField(), help_text="The steps that were asked for, where not all were.")
    files = s.ListField(child=s.CharField(), help_text="The files that were picked, where not all new ones were.")
    backfill = s.UUIDField(allow_null=True, help_text="The backfill whose slice it reads.")
    waits_for = s.CharField(allow_null=True, help_text="Why it does not go on: its turn, a pause, a decision.")


class LogParameters(Shape):
    step = s.CharField(required=False, allow_blank=True, max_length=63, help_text="Only of this step; empty: the run.")
    level = s.ChoiceField(LEVELS, default="info", help_text="Lines that are at least so grave.")
    after = s.IntegerField(default=0, min_value=0, max_value=2**63 - 1, help_text="Only lines behind this id.")


class LogFileParameters(LogParameters):
    format = s.ChoiceField(["text", "ndjson"], default="text")


# `fields` is also the name of a serializer's own property.
LogLine: Any = type(
    "LogLine",
    (Shape,),
    {
        "id": s.IntegerField(),
        "at": s.DateTimeField(),
        "step": s.CharField(help_text="Empty where the run itself speaks."),
        "attempt": s.IntegerField(),
        "level": s.ChoiceField(LEVELS),
        "text": s.CharField(),
        "fields": s.DictField(),
    },
)


class RunDetail(RunRow):
    steps = Step(many=True)
    decisions = Decision(many=True)
