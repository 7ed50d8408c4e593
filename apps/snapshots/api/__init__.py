"""The endpoints of datasets, their snapshots, and queries over them."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from apps.snapshots.api.datasets import DatasetViewSet
from apps.snapshots.api.queries import QueryViewSet, SavedQueryViewSet
from apps.snapshots.api.snapshots import SnapshotViewSet

_PROJECT = r"projects/(?P<project>[a-z0-9-]+)"

_router = SimpleRouter()
_router.register(rf"{_PROJECT}/datasets", DatasetViewSet, basename="project-datasets")
_router.register(
    rf"{_PROJECT}/datasets/(?P<dataset>[a-z0-9.-]+)/snapshots", SnapshotViewSet, basename="project-snapshots"
)
_router.register(rf"{_PROJECT}/queries", QueryViewSet, basename="project-queries")
_router.register(rf"{_PROJECT}/saved-queries", SavedQueryViewSet, basename="project-saved-queries")
urlpatterns = _router.urls
