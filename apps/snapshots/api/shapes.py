"""The shapes of datasets, snapshots and query results, for bodies and for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

STATES = ["head", "past"]


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


class QueryBody(Shape):
    sql = s.CharField(max_length=100_000, trim_whitespace=False, help_text="One SELECT over the project's datasets.")


class PreviewParameters(Shape):
    limit = s.IntegerField(min_value=1, max_value=1000, default=50)


class DownloadParameters(Shape):
    format = s.ChoiceField(["csv", "parquet"], default="csv")
