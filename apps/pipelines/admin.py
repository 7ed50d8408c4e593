"""The lists of pipelines, versions, schedules, runs, steps and windows."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.console import ConsoleAdmin, site
from apps.pipelines.models import (
    Fire,
    Freshness,
    Hook,
    HookMessage,
    Ingestion,
    Pipeline,
    PipelineVersion,
    Run,
    Schedule,
    Spending,
    StepRun,
    Window,
)


@admin.register(Pipeline, site=site)
class PipelineAdmin(ConsoleAdmin):
    list_display = ("slug", "title", "project", "published", "changed_at")
    list_select_related = ("project", "published__pipeline")
    search_fields = ("slug", "title")


@admin.register(PipelineVersion, site=site)
class PipelineVersionAdmin(ConsoleAdmin):
    list_display = ("pipeline", "number", "published_at", "published_by")
    list_select_related = ("pipeline",)


@admin.register(Schedule, site=site)
class ScheduleAdmin(ConsoleAdmin):
    list_display = ("pipeline", "enabled", "next_at", "decided_until")
    list_select_related = ("pipeline",)
    list_filter = ("enabled",)


@admin.register(Fire, site=site)
class FireAdmin(ConsoleAdmin):
    list_display = ("schedule", "scheduled_for", "fired_at", "left_out", "run")
    list_select_related = ("schedule__pipeline", "run__pipeline")


@admin.register(Hook, site=site)
class HookAdmin(ConsoleAdmin):
    list_display = ("name", "pipeline", "enabled", "created_at")
    list_select_related = ("pipeline",)


@admin.register(HookMessage, site=site)
class HookMessageAdmin(ConsoleAdmin):
    list_display = ("message_id", "hook", "received_at", "run")
    list_select_related = ("hook__pipeline", "run__pipeline")


@admin.register(Run, site=site)
class RunAdmin(ConsoleAdmin):
    list_display = ("id", "pipeline", "state", "outcome", "mode", "trigger", "created_at", "finished_at")
    list_select_related = ("pipeline",)
    list_filter = ("state", "outcome", "trigger")


@admin.register(StepRun, site=site)
class StepRunAdmin(ConsoleAdmin):
    list_display = ("run", "key", "kind", "state", "attempt", "rows_out", "started_at", "finished_at")
    list_select_related = ("run__pipeline",)
    list_filter = ("state", "kind")


@admin.register(Freshness, site=site)
class FreshnessAdmin(ConsoleAdmin):
    list_display = ("subject", "expected", "state", "state_at")
    list_select_related = ("dataset", "stream__source")
    list_filter = ("state",)


@admin.register(Spending, site=site)
class SpendingAdmin(ConsoleAdmin):
    list_display = ("source", "budget", "currency", "state", "spent", "state_at")
    list_select_related = ("source",)
    list_filter = ("state",)


@admin.register(Ingestion, site=site)
class IngestionAdmin(ConsoleAdmin):
    list_display = ("source_slug", "stream", "run", "state", "at", "fetched", "inserted", "updated", "quarantined")
    list_select_related = ("run__pipeline",)
    list_filter = ("state",)


@admin.register(Window, site=site)
class WindowAdmin(ConsoleAdmin):
    list_display = ("pipeline", "step_key", "stream", "state", "rows", "planned_at", "closed_at")
    list_select_related = ("pipeline",)
    list_filter = ("state",)
