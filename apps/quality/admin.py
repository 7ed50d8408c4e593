"""The list of what checks have found, in the console."""

from __future__ import annotations

from django.contrib import admin

from apps.audit.console import ConsoleAdmin, site
from apps.quality.models import CheckResult


@admin.register(CheckResult, site=site)
class CheckResultAdmin(ConsoleAdmin):
    """Every role that sees a project may read its data, so samples need no door of their own here."""

    list_display = ["at", "name", "step_key", "action", "passed", "failed_rows", "total_rows", "fraction", "project"]
    list_filter = ["passed", "action", "rule", "project"]
    list_select_related = ["project"]
    search_fields = ["name", "step_key"]
    ordering = ["-at"]
