"""The console's pages of pipelines and their runs."""

from __future__ import annotations

from apps.pipelines.pages import (
    backfills,
    cards,
    control,
    costs,
    documents,
    files,
    freshness,
    hooks,
    ingestion,
    lineage,
    lists,
    logs,
    retries,
    runs,
    schedules,
    sources,
)

urlpatterns = [
    *lists.urlpatterns,
    *documents.urlpatterns,
    *runs.urlpatterns,
    *control.urlpatterns,
    *logs.urlpatterns,
    *schedules.urlpatterns,
    *retries.urlpatterns,
    *hooks.urlpatterns,
    *backfills.urlpatterns,
    *cards.urlpatterns,
    *sources.urlpatterns,
    *files.urlpatterns,
    *ingestion.urlpatterns,
    *freshness.urlpatterns,
    *lineage.urlpatterns,
    *costs.urlpatterns,
]
