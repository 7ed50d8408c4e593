"""The console's pages of datasets, and of SQL over them."""

from __future__ import annotations

from apps.snapshots.pages import datasets, sql

urlpatterns = [*datasets.urlpatterns, *sql.urlpatterns]
