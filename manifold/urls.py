"""Where each door stands: health here, the API below /api/v1/, the console at /."""

from __future__ import annotations

from django.urls import path

from manifold import health
from manifold.metrics import metrics

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("startupz", health.startupz, name="startupz"),
    path("metrics", metrics, name="metrics"),
]
