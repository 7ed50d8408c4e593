"""The shapes of datasets, snapshots and query results, for bodies and for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers as s

from apps.snapshots.models import QueryState
from apps.sources.shapes import QueryColumn, QueryShape
from dataplane.export import FORMATS, MEDIA_TYPES
from dataplane.parameters import KINDS

STATES = ["head", "past"]
QUERY_STATES = QueryState.values
PARAMETER_TYPES = list(KINDS)
# What a download answers. A file of JSON is an object a row, with a member a column.
_ROWS = {"type": "array", "items": {"type": "object", "additionalProperties": {}}}
FILES = {(200, media): _ROWS if form == "json" else OpenApiTypes.BINARY for form, media in MEDIA_TYPES.items()}


class Shape(s.Serializer[Any]):
    """A shape that is read from a dictionary; it writes nothing by itself."""


class Dataset(Shape):
    slug = s.CharField()
    title = s.CharField()
    hidden = s.BooleanField(help_text="Rows that checks have set aside, beside the dataset that they come from.")
    head = s.IntegerField(help_text="The number of the newest snapshot; 0 when there is none.")
    rows = s.IntegerField(allow_null=True)
    bytes = s.IntegerField(allow_null=True)
    loaded_at = s.DateTimeField(allow_null=True)
    loaded_by_run = s.UUIDField(allow_null=True)
    owner_step = s.CharField()
    created_at = s.DateTimeField()


class Column(Shape):
    name = s.CharField()
    type = s.CharField()
    nullable = s.BooleanField()


class _Snapshot(Shape):
    id = s.UUIDField()
    dataset = s.CharField()
    number = s.IntegerField()
    state = s.ChoiceField(STATES)
    created_at = s.DateTimeField()
    created_by_run = s.UUIDField()
    mode = s.ChoiceField(["append", "replace", "merge"])
    rows = s.IntegerField()
    bytes = s.IntegerField()
    files = s.IntegerField()
    schema = Column(many=True)
    labels = s.ListField(child=s.CharField())
    locked = s.BooleanField()
    golden = s.BooleanField()
    reason = s.CharField()


# `parent` is also the name of a field's own attribute.
_PARENT = s.IntegerField(help_text="The number of the snapshot before it; 0 when it is the first.")
Snapshot: Any = type("Snapshot", (_Snapshot,), {"parent": _PARENT})


class ParameterValue(Shape):
    name = s.CharField(max_length=63)
    type = s.ChoiceField(PARAMETER_TYPES, required=False, help_text="Else as declared, else what the value is in JSON.")
    value = s.JSONField(allow_null=True, help_text="A text, a number, true, false or null.")


class ParameterDeclaration(Shape):
    name = s.CharField(max_length=63)
    type = s.ChoiceField(PARAMETER_TYPES, default="text")
    default = s.JSONField(allow_null=True, default=None, help_text="null: whoever runs the query gives a value.")


_SQL: dict[str, Any] = {"max_length": 100_000, "trim_whitespace": False}


class QueryBody(Shape):
    id = s.UUIDField(required=False, help_text="An id of your own, to cancel the query before its answer tells one.")
    sql = s.CharField(**_SQL, required=False, help_text="One SELECT over the project's datasets; else `saved`.")
    saved = s.SlugField(required=False, max_length=63, help_text="The saved query to run.")
    parameters = ParameterValue(many=True, default=list)
    order = s.IntegerField(
        default=0,
        min_value=-10_000,
        max_value=10_000,
        help_text="Sort by the column of this position, from 1; downwards when it is negative.",
    )
    limit = s.IntegerField(default=1000, min_value=1, max_value=10_000, help_text="At most so many rows.")


class Answer(QueryShape):
    id = s.UUIDField(help_text="Download the whole answer, or look it up in the history, by this.")
    limited_by = s.ChoiceField(["rows", "bytes"], allow_null=True)
    advice = s.CharField(help_text="What to do about the limit; empty when the answer is whole.")


class QueryRow(Shape):
    id = s.UUIDField()
    user = s.CharField()
    sql = s.CharField()
    parameters = ParameterValue(many=True)
    saved = s.CharField(allow_null=True)
    tables = s.DictField(child=s.IntegerField(), help_text="Each table with the number of the snapshot that was read.")
    state = s.ChoiceField(QUERY_STATES)
    cancelled_by = s.CharField()
    row_count = s.IntegerField(allow_null=True)
    truncated = s.BooleanField()
    columns = QueryColumn(many=True)
    bytes_scanned = s.IntegerField(allow_null=True)
    seconds = s.FloatField(allow_null=True)
    error = s.JSONField(allow_null=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class DownloadParameters(Shape):
    format = s.ChoiceField(list(FORMATS), default="csv", help_text="ndjson is one JSON object a line.")


class AnswerParameters(DownloadParameters):
    order = s.IntegerField(default=0, min_value=-10_000, max_value=10_000)


class SavedQuery(Shape):
    slug = s.CharField()
    title = s.CharField()
    sql = s.CharField()
    parameters = ParameterDeclaration(many=True)
    owner = s.CharField(allow_null=True)
    created_at = s.DateTimeField()
    updated_at = s.DateTimeField()


class SavedQueryChange(Shape):
    title = s.CharField(max_length=200, required=False)
    sql = s.CharField(**_SQL, required=False)
    parameters = ParameterDeclaration(many=True, required=False)


class SavedQueryBody(Shape):
    title = s.CharField(max_length=200)
    slug = s.RegexField("^[a-z0-9-]{1,63}$", default="", help_text="Made from the title unless it is given.")
    sql = s.CharField(**_SQL)
    parameters = ParameterDeclaration(many=True, default=list, help_text="Those that are not declared are texts.")


class PreviewParameters(Shape):
    limit = s.IntegerField(min_value=1, max_value=1000, default=50)
