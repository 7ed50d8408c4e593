"""The lists of datasets, snapshots, their files, and queries."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.console import ConsoleAdmin, site
from apps.snapshots.models import DataFile, Dataset, Query, SavedQuery, Snapshot


@admin.register(Dataset, site=site)
class DatasetAdmin(ConsoleAdmin):
    list_display = ("slug", "title", "project", "head", "hidden", "created_at")
    list_select_related = ("project",)
    list_filter = ("hidden",)
    search_fields = ("slug", "title")


@admin.register(Snapshot, site=site)
class SnapshotAdmin(ConsoleAdmin):
    list_display = ("dataset", "number", "mode", "rows", "files", "created_at", "locked", "golden")
    list_select_related = ("dataset",)
    list_filter = ("mode", "locked", "golden")


@admin.register(DataFile, site=site)
class DataFileAdmin(ConsoleAdmin):
    list_display = ("path", "dataset", "rows", "bytes", "added_in", "removed_in")
    list_select_related = ("dataset",)
    search_fields = ("path",)


@admin.register(Query, site=site)
class QueryAdmin(ConsoleAdmin):
    list_display = ("__str__", "user", "project", "state", "rows", "seconds", "created_at")
    list_select_related = ("user", "project")
    list_filter = ("state",)
    search_fields = ("sql",)


@admin.register(SavedQuery, site=site)
class SavedQueryAdmin(ConsoleAdmin):
    list_display = ("slug", "title", "project", "owner", "updated_at")
    list_select_related = ("owner", "project")
    search_fields = ("slug", "title")
