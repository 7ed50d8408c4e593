"""Where each door stands: health here, the API below /api/v1/, the console at /."""

from __future__ import annotations

from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.audit import console
from manifold import health
from manifold.metrics import metrics

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("startupz", health.startupz, name="startupz"),
    path("metrics", metrics, name="metrics"),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("apps.accounts.api")),
    path("api/v1/", include("apps.sources.api")),
    path("api/v1/", include("apps.snapshots.api")),
    path("api/v1/", include("apps.quality.api")),
    path("api/v1/", include("apps.pipelines.api")),
    path("api/v1/", include("manifold.status")),
    path("", include("manifold.hooks")),
    path("", include("manifold.inbound")),
    path("admin/", console.site.urls),
    path("", include("manifold.console.urls")),
]

handler400 = "manifold.api.bad_request"
handler404 = "manifold.api.not_found"
handler500 = "manifold.api.server_error"
