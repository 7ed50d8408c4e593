"""Where each door stands: health here, the API below /api/v1/, the console at /."""

from __future__ import annotations

from django.urls import path

from manifold import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
]
