"""Lists of Django's admin with its side doors closed.

`ConsoleAdmin` shows rows that are visible to whoever asks, and changes none: every write is a page of ours that calls a
service. `site` is where they are registered; membership opens it, not `is_staff`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.admin import RelatedFieldListFilter
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, include, path, re_path, reverse
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

# How a list may be narrowed by a field it offers as a filter. Everything else (`password__startswith`) could be used to
# guess what is not shown.
_LOOKUPS = frozenset({"", "exact", "isnull", "gte", "gt", "lte", "lt", "id__exact", "in"})


class VisibleRelatedFilter(RelatedFieldListFilter):
    """Offers only related rows that are visible to whoever asks."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        rows: Any = field.related_model._default_manager
        return [(each.pk, str(each)) for each in rows.visible_to(request.user).select_related()]


class ConsoleAdmin(ModelAdmin):
    """Base of every list: read-only, without actions, inlines and popups; rows and filters from `visible_to`.

    `hidden` names columns that are shown nowhere, as digests of secrets.
    """

    actions = None
    inlines = ()
    list_editable = ()
    show_full_result_count = False
    show_facets = False
    hidden: Sequence[str] = ()

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: Any = self.model._default_manager
        found: models.QuerySet[Any] = rows.visible_to(request.user)
        return found.order_by(*self.get_ordering(request)) if self.get_ordering(request) else found

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def get_exclude(self, request: HttpRequest, obj: models.Model | None = None) -> Sequence[str]:
        return self.hidden

    def get_inlines(self, request: HttpRequest, obj: models.Model | None) -> list[Any]:
        return []

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [self._visible_filter(each) for each in self.list_filter]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        for offered in self.list_filter:
            name = offered[0] if isinstance(offered, tuple) else offered
            if lookup == name or (lookup.startswith(f"{name}__") and lookup.removeprefix(f"{name}__") in _LOOKUPS):
                return True
        return False

    def get_urls(self) -> list[URLPattern]:
        """The list, a row, and its history; nothing else has an address."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        guard = self.admin_site.admin_view
        return [
            path("", guard(self.changelist_view), name=f"{name}_changelist"),
            path("<path:object_id>/history/", guard(self.history_view), name=f"{name}_history"),
            path("<path:object_id>/change/", guard(self.change_view), name=f"{name}_change"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        _reading_only(request)
        return super().changelist_view(request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        _reading_only(request)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The events of this row: Django's own log is not written."""
        _reading_only(request)
        query = urlencode({"object_id": object_id})
        return HttpResponseRedirect(f"{reverse('admin:audit_event_changelist')}?{query}")

    def _visible_filter(self, offered: Any) -> Any:
        if not isinstance(offered, str):
            return offered
        # Django takes the values of a plain field from `get_queryset`, those of a relation from the whole table.
        return (offered, VisibleRelatedFilter) if self.opts.get_field(offered).is_relation else offered


class ConsoleSite(UnfoldAdminSite):
    """Open to active members of any project."""

    index_title = "All lists"

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_authenticated and user.is_active and user.project_ids("see"))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Sign in at the console's own door; whoever is signed in and a member of nothing is refused."""
        if request.user.is_authenticated:
            raise PermissionDenied("You are not a member of any project.")
        return redirect_to_login(request.GET.get("next", settings.LOGIN_REDIRECT_URL))

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """The index and the models' lists; search, autocompletion, `view on site` and passwords are not served."""
        known = "|".join(sorted({each._meta.app_label for each in self._registry}))
        return [
            path("", self.admin_view(self.index), name="index"),
            path("login/", self.login, name="login"),
            path("logout/", self.logout, name="logout"),
            path("jsi18n/", self.i18n_javascript, name="jsi18n"),
            # The theme's templates ask for these addresses.
            *[path(f"{name}/", _nothing_here, name=name) for name in ("search", "password_change")],
            re_path(f"^(?P<app_label>{known})/$", self.admin_view(self.app_index), name="app_list"),
            *[
                path(f"{model._meta.app_label}/{model._meta.model_name}/", include(admin.urls))
                for model, admin in self._registry.items()
            ],
        ]


def _nothing_here(request: HttpRequest) -> HttpResponse:
    raise Http404("There is nothing at this address.")


def _reading_only(request: HttpRequest) -> None:
    """Popups and writes are doors of Django's that lead around our pages."""
    if request.method not in ("GET", "HEAD") or {"_popup", "_to_field"} & set(request.GET):
        raise PermissionDenied("Lists are for reading. Changes are made on the pages of the console.")


site = ConsoleSite()
