"""The endpoints of pipelines and runs, and of the sources that pipelines read."""

from __future__ import annotations

from apps.accounts.api_base import project_router
from apps.pipelines.api.backfills import urlpatterns as backfills
from apps.pipelines.api.costs import urlpatterns as costs
from apps.pipelines.api.freshness import urlpatterns as freshness
from apps.pipelines.api.history import urlpatterns as history
from apps.pipelines.api.hooks import urlpatterns as hooks
from apps.pipelines.api.lineage import urlpatterns as lineage
from apps.pipelines.api.pipelines import PipelineViewSet
from apps.pipelines.api.retries import urlpatterns as retries
from apps.pipelines.api.runs import RunViewSet
from apps.pipelines.api.schedules import ScheduleViewSet
from apps.pipelines.api.schedules import urlpatterns as schedules
from apps.pipelines.api.sources import urlpatterns as sources

urlpatterns = [
    *project_router(pipelines=PipelineViewSet, runs=RunViewSet, schedules=ScheduleViewSet).urls,
    *schedules,
    *retries,
    *backfills,
    *hooks,
    *history,
    *freshness,
    *lineage,
    *costs,
    *sources,
]
