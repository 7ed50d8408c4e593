"""The endpoints of pipelines and runs."""

from __future__ import annotations

from apps.accounts.api_base import project_router
from apps.pipelines.api.pipelines import PipelineViewSet
from apps.pipelines.api.runs import RunViewSet

urlpatterns = project_router(pipelines=PipelineViewSet, runs=RunViewSet).urls
