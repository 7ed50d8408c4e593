"""Is my data current? One answer for the command, the API and whoever watches."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api_base import ProjectViewSet, project_router
from apps.accounts.models import Project
from apps.pipelines import freshness
from apps.pipelines.models import Pipeline, Run
from apps.pipelines.queries import currency
from apps.pipelines.states import FRESHNESS
from apps.snapshots.models import Dataset
from apps.sources.models import Health, Source
from manifold import health


class BriefRunSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    pipeline = serializers.CharField()
    state = serializers.CharField()
    outcome = serializers.CharField()
    finished_at = serializers.DateTimeField(allow_null=True)


class DatasetAgeSerializer(serializers.Serializer[Any]):
    dataset = serializers.CharField()
    rows = serializers.IntegerField(allow_null=True)
    age_s = serializers.FloatField(allow_null=True)
    fresh = serializers.BooleanField()
    state = serializers.ChoiceField(FRESHNESS, help_text="A dataset that has not been loaded yet has no age.")


class ComponentSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    up = serializers.BooleanField()
    detail = serializers.CharField(allow_blank=True)
    seconds = serializers.FloatField()
    remedy = serializers.CharField(allow_blank=True)


class StatusSerializer(serializers.Serializer[Any]):
    healthy = serializers.BooleanField()
    last_good_run = BriefRunSerializer(allow_null=True)
    last_run = BriefRunSerializer(allow_null=True)
    pending_files = serializers.IntegerField()
    datasets = DatasetAgeSerializer(many=True)
    components = ComponentSerializer(many=True)
    advice = serializers.ListField(child=serializers.CharField())


def status_of(project: Project) -> dict[str, Any]:
    """The shape `status`.

    Healthy when every component is up, no pipeline's last run failed, and no dataset or stream is late or stale.
    """
    current = currency(project)
    failing = current.pop("failing")
    now = timezone.now()
    kept = freshness.standing(Dataset.objects.filter(project=project, hidden=False), failing, now)
    late = freshness.late_in(project, now)
    said = [f"{each['name']} is {each['state']}. {each['says']} was expected." for each in late]
    said += [f"{each.slug} has not been loaded yet: run its pipeline." for each, _ in kept if each.loaded_at is None]
    components = [asdict(each) for each in health.components()]
    down = [each for each in components if not each["up"]]
    stale = [each for each, word in kept if word]
    remedies = [f"{each['name']}: {each['detail']} {each['remedy']}".strip() for each in down]
    return {
        "healthy": not (failing or down or stale or late),
        **current,
        "datasets": [_dataset(each, word, now) for each, word in kept],
        "components": components,
        "advice": [*remedies, *_for_somebody(project), *said, *current["advice"]],
    }


def _for_somebody(project: Project) -> list[str]:
    """What a person has to look at: sources that are not well, runs that wait for a decision."""
    sick = Source.objects.filter(project=project, health__in=[Health.ERROR, Health.WARNING]).order_by("health", "slug")
    asking = Run.objects.filter(project=project, state="waiting").select_related("pipeline").order_by("id")
    return [f"The source {each.slug}, {each.health}: {each.health_reason}" for each in sick] + [
        f"A run of {each.pipeline.slug} waits for a decision: `manifold runs decide {each.pk}`." for each in asking
    ]


def _dataset(dataset: Any, word: str, now: datetime) -> dict[str, Any]:
    age = (now - dataset.loaded_at).total_seconds() if dataset.loaded_at else None
    return {
        "dataset": dataset.slug,
        "rows": dataset.rows,
        "age_s": None if age is None else round(age, 1),
        "fresh": not word,
        "state": word or "fresh",
    }


class StatusViewSet(ProjectViewSet):
    """Last good run, pending files, age of each dataset, health of each component, and what to do next."""

    model = Pipeline
    serializer_class = StatusSerializer
    pagination_class = None

    @extend_schema(responses=forced_singular_serializer(StatusSerializer), filters=False)
    def list(self, request: Request, project: str) -> Response:
        return Response(status_of(self.project))


urlpatterns = project_router(status=StatusViewSet).urls
