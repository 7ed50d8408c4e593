"""The audit log as a list."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.console import ConsoleAdmin, site
from apps.audit.models import Event


@admin.register(Event, site=site)
class EventAdmin(ConsoleAdmin):
    list_display = ("at", "actor_name", "verb", "object_type", "object_name", "request_id")
    list_filter = ("at", "actor_kind", "verb", "object_type", "object_id")
    search_fields = ("object_name", "actor_name", "request_id")
    ordering = ("-id",)
