"""The API of checks: what rules have found, across the runs of a project."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import mixins, serializers

from apps.accounts.api_base import ProjectViewSet, project_router
from apps.quality.models import CheckResult

ACTIONS = ["stop", "ask", "warn", "quarantine"]


class CheckFilter(filters.FilterSet):
    """`pipeline`, `run` and `step` are ids; `since` and `until` are times."""

    pipeline = filters.UUIDFilter()
    run = filters.UUIDFilter()
    step = filters.UUIDFilter()
    step_key = filters.CharFilter()
    rule = filters.CharFilter()
    action = filters.CharFilter()
    passed = filters.BooleanFilter()
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = CheckResult
        fields: list[str] = []


class SampleSerializer(serializers.Serializer[Any]):
    file = serializers.CharField(allow_null=True, help_text="The file of the source, where it has files.")
    row = serializers.IntegerField(help_text="The line where the file has lines, else the number of the row, from 1.")
    values = serializers.DictField()


class CheckSerializer(serializers.Serializer[Any]):
    """The shape `check`, as the steps of a run hold it."""

    rule = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    columns = serializers.ListField(child=serializers.CharField())
    definition = serializers.DictField(help_text="The rule as it stood in the document.")
    action = serializers.ChoiceField(ACTIONS)
    passed = serializers.BooleanField()
    failed_rows = serializers.IntegerField()
    total_rows = serializers.IntegerField()
    fraction = serializers.FloatField()
    samples = SampleSerializer(many=True)
    seconds = serializers.FloatField()


class CheckResultSerializer(serializers.ModelSerializer[CheckResult]):
    columns = serializers.ListField(child=serializers.CharField())
    definition = serializers.DictField(help_text="The rule as it stood in the document.")
    samples = SampleSerializer(many=True)

    class Meta:
        model = CheckResult
        fields = [
            "id",
            "at",
            "pipeline",
            "run",
            "step",
            "step_key",
            "rule",
            "name",
            "columns",
            "definition",
            "action",
            "passed",
            "failed_rows",
            "total_rows",
            "fraction",
            "samples",
            "seconds",
        ]
        read_only_fields = fields


class CheckViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ProjectViewSet):
    """What the rules of a project's checks have found, the newest first.

    Samples are rows of data, so this asks for the right to read data, as a preview does.
    """

    model = CheckResult
    serializer_class = CheckResultSerializer
    filterset_class = CheckFilter
    lookup_field = "pk"
    action_needed = {"list": "read", "retrieve": "read"}


urlpatterns = project_router(checks=CheckViewSet).urls
