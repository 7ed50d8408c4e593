"""Projects, people and tokens as lists."""

from __future__ import annotations

from django.contrib import admin

from apps.accounts.models import ApiToken, Membership, Project, User
from apps.audit.console import ConsoleAdmin, site


@admin.register(Project, site=site)
class ProjectAdmin(ConsoleAdmin):
    list_display = ("slug", "name", "created_at")
    search_fields = ("slug", "name")
    ordering = ("slug",)


@admin.register(Membership, site=site)
class MembershipAdmin(ConsoleAdmin):
    list_display = ("user", "project", "role")
    list_filter = ("project", "user", "role")
    list_select_related = ("user", "project")
    ordering = ("project__slug", "user__username")


@admin.register(User, site=site)
class UserAdmin(ConsoleAdmin):
    list_display = ("username", "is_active", "last_login")
    list_filter = ("is_active",)
    search_fields = ("username",)
    ordering = ("username",)
    hidden = ("password", "email", "groups", "user_permissions", "is_staff", "is_superuser", "first_name", "last_name")


@admin.register(ApiToken, site=site)
class ApiTokenAdmin(ConsoleAdmin):
    list_display = ("name", "hint", "user", "project", "role", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("project", "role")
    list_select_related = ("user", "project")
    search_fields = ("name", "hint")
    hidden = ("digest",)
