"""The side doors of Django's admin stay closed: whatever is registered is read-only and shows what one may see."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from apps.accounts import services
from apps.accounts.models import ApiToken, Membership, Project, User
from apps.audit.console import ConsoleAdmin, site
from apps.audit.context import SYSTEM
from apps.audit.models import Event

pytestmark = pytest.mark.django_db

LISTS = ["audit/event", "accounts/project", "accounts/membership", "accounts/user", "accounts/apitoken"]


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_every_list_keeps_its_doors_closed() -> None:
    """A subclass that opens one again is found here."""
    closed = ["get_queryset", "get_urls", "lookup_allowed", "get_list_filter", "has_add_permission",
              "has_change_permission", "has_delete_permission", "history_view", "changelist_view",
              "changeform_view", "get_inlines"]  # fmt: skip
    for each in site._registry.values():
        assert isinstance(each, ConsoleAdmin)
        assert each.actions is None
        assert not each.list_editable
        assert not each.inlines
        for name in closed:
            assert getattr(type(each), name) is getattr(ConsoleAdmin, name), (each, name)
        assert hasattr(each.model._default_manager.all(), "visible_to"), each


@pytest.mark.parametrize("path", LISTS)
def test_members_read_their_lists(viewer: User, project: Project, path: str) -> None:
    services.issue_token(viewer, name="t", actor=SYSTEM)
    page = signed_in(viewer).get(f"/admin/{path}/")
    assert page.status_code == 200
    text = page.content.decode()
    row = re.search(rf"/admin/{path}/([^/]+)/change/", text)
    assert row
    assert signed_in(viewer).get(row.group(0)).status_code == 200
    assert "/add/" not in text
    assert 'name="action"' not in text


def test_others_rows_are_nowhere(viewer: User, stranger: User, project: Project) -> None:
    services.issue_token(stranger, name="of-stan", actor=SYSTEM)
    client = signed_in(viewer)
    theirs: list[Any] = [
        Event.objects.filter(object_name__contains="elsewhere")[0],
        Project.objects.get(slug="elsewhere"),
        Membership.objects.get(user=stranger),
        stranger,
        ApiToken.objects.get(user=stranger),
    ]
    for path, row in zip(LISTS, theirs, strict=True):
        text = client.get(f"/admin/{path}/").content.decode()
        assert "elsewhere" not in text, path
        assert "stan" not in re.sub(r"standard|stand", "", text), path
        assert client.get(f"/admin/{path}/{row.pk}/change/").status_code in (302, 404), path
    assert "elsewhere" not in client.get(f"/admin/audit/event/?object_id={theirs[1].pk}").content.decode()


def test_an_address_that_django_would_have_is_not_there(admin: User, project: Project) -> None:
    client = signed_in(admin)
    for path in ("accounts/project/add/", f"accounts/project/{project.pk}/delete/", "autocomplete/", "password_change/",
                 "search/?s=a", "auth/group/", "django_celery_beat/periodictask/", "r/1/1/"):  # fmt: skip
        assert client.get(f"/admin/{path}").status_code == 404, path


@pytest.mark.parametrize("query", ["_popup=1", "_to_field=id"])
def test_popups_are_refused(admin: User, project: Project, query: str) -> None:
    client = signed_in(admin)
    assert client.get(f"/admin/accounts/project/?{query}").status_code == 403
    assert client.get(f"/admin/accounts/project/{project.pk}/change/?{query}").status_code == 403


def test_nothing_is_written_through_a_list(admin: User, project: Project) -> None:
    client = signed_in(admin)
    for path in ("accounts/project/", f"accounts/project/{project.pk}/change/"):
        answer = client.post(
            f"/admin/{path}", {"name": "Owned", "action": "delete_selected", "_selected_action": project.pk}
        )
        assert answer.status_code == 403
    project.refresh_from_db()
    assert project.name == "Flights"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    "lookup", ["password__startswith", "memberships__project__slug", "email", "tokens__digest__gt"]
)
def test_a_lookup_that_would_guess_what_is_not_shown(admin: User, project: Project, lookup: str) -> None:
    answer = signed_in(admin).get(f"/admin/accounts/user/?{lookup}=a")
    assert answer.status_code == 400


def test_filters_offer_only_what_is_visible(viewer: User, stranger: User, project: Project) -> None:
    text = signed_in(viewer).get("/admin/accounts/membership/").content.decode()
    assert "vera" in text
    assert "elsewhere" not in text


def test_secrets_are_on_no_page(admin: User, project: Project) -> None:
    token, _ = services.issue_token(admin, name="t", actor=SYSTEM)
    client = signed_in(admin)
    text = client.get(f"/admin/accounts/apitoken/{token.pk}/change/").content.decode()
    assert token.hint in text
    assert token.digest not in text
    assert admin.password not in client.get(f"/admin/accounts/user/{admin.pk}/change/").content.decode()


def test_times_show_their_zone(viewer: User, project: Project) -> None:
    text = signed_in(viewer).get("/admin/audit/event/").content.decode()
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", text)


def test_history_is_the_audit_log(admin: User, project: Project) -> None:
    page = signed_in(admin).get(f"/admin/accounts/project/{project.pk}/history/", follow=True)
    assert "project created" in page.content.decode()


def test_who_may_come_in(superuser: User, viewer: User, project: Project) -> None:
    assert Client().get("/admin/").status_code == 302
    assert Client().get("/admin/")["Location"].startswith("/admin/login/")
    assert Client().get("/admin/login/?next=/admin/")["Location"].startswith("/login/")
    # Staff and superuser, but a member of nothing.
    assert signed_in(superuser).get("/admin/", follow=True).status_code == 403
    assert signed_in(viewer).get("/admin/").status_code == 200
    services.set_active(viewer, active=False, actor=SYSTEM)
    assert signed_in(viewer).get("/admin/").status_code == 302
