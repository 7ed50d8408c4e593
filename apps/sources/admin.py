"""Lists of sources, streams, files and tests in the console."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.console import ConsoleAdmin, site
from apps.sources.models import ConnectionCheck, Credential, Grant, SchemaVersion, Source, SourceFile, Stream, Upload


@admin.register(Source, site=site)
class SourceAdmin(ConsoleAdmin):
    list_display = ["slug", "title", "connector", "health", "health_at", "project"]
    list_filter = ["connector", "health", "project"]
    list_select_related = ["project"]
    search_fields = ["slug", "title"]


@admin.register(Credential, site=site)
class CredentialAdmin(ConsoleAdmin):
    list_display = ["slug", "connector", "key_version", "changed_at", "project"]
    list_filter = ["connector", "project"]
    list_select_related = ["project"]
    search_fields = ["slug"]
    hidden = ["secrets"]


@admin.register(Grant, site=site)
class GrantAdmin(ConsoleAdmin):
    list_display = ["source", "granted_by", "granted_at", "renewed_at", "ends_at", "refused"]
    list_select_related = ["source"]
    hidden = ["secrets"]


@admin.register(Stream, site=site)
class StreamAdmin(ConsoleAdmin):
    list_display = ["name", "source", "rows", "bytes", "discovered_at", "changed_at"]
    list_filter = ["source"]
    list_select_related = ["source"]
    search_fields = ["name"]


@admin.register(SourceFile, site=site)
class SourceFileAdmin(ConsoleAdmin):
    list_display = ["path", "stream", "size", "modified", "file_date", "ignored", "last_seen_at", "gone_at"]
    list_filter = ["ignored", "stream"]
    list_select_related = ["stream__source"]
    search_fields = ["path"]


@admin.register(Upload, site=site)
class UploadAdmin(ConsoleAdmin):
    list_display = ["name", "source", "size", "uploaded_at", "uploaded_by"]
    list_filter = ["source"]
    list_select_related = ["source"]
    search_fields = ["name"]


@admin.register(ConnectionCheck, site=site)
class ConnectionCheckAdmin(ConsoleAdmin):
    list_display = ["at", "source", "ok", "seconds", "actor_name"]
    list_filter = ["ok", "source"]
    list_select_related = ["source"]


@admin.register(SchemaVersion, site=site)
class SchemaVersionAdmin(ConsoleAdmin):
    list_display = ["stream", "number", "seen_at", "run"]
    list_filter = ["stream"]
    list_select_related = ["stream__source"]
