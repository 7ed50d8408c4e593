"""The console's pages of pipelines and their runs."""

from __future__ import annotations

from apps.pipelines.pages import documents, lists, runs, sources

urlpatterns = [*lists.urlpatterns, *documents.urlpatterns, *runs.urlpatterns, *sources.urlpatterns]
