"""Projects keep an administrator, tokens stay what they were made to be, and a first start can be repeated."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from apps.accounts import services, tokens
from apps.accounts.models import ApiToken, Membership, Project, Role, User
from apps.audit.context import SYSTEM, Actor
from apps.audit.models import Event
from apps.audit.refusals import Conflict, Invalid
from tests.people import HASHERS, PASSWORD, make_user

pytestmark = pytest.mark.django_db

ANN = Actor("user", None, "ann")


def test_a_user_can_sign_in_and_the_log_says_who_made_them() -> None:
    user = services.create_user(username="bob", password=PASSWORD, actor=ANN)
    assert user.check_password(PASSWORD)
    event = Event.objects.get(object_type="user")
    assert (event.verb, event.actor_name, event.object_name) == ("user created", "ann", "bob")


def test_a_password_is_kept_with_a_slow_hash(settings: Any) -> None:
    """Tests take a quick one; this is about the one that people get."""
    settings.PASSWORD_HASHERS = HASHERS
    user = services.create_user(username="bob", password=PASSWORD, actor=ANN)
    kind, rounds, *_ = User.objects.get(pk=user.pk).password.split("$")
    assert kind == "pbkdf2_sha256"
    # What OWASP asks for.
    assert int(rounds) >= 600_000


@pytest.mark.parametrize(
    ("username", "password", "field"),
    [
        ("bob smith", PASSWORD, "username"),
        ("", PASSWORD, "username"),
        ("bob", "short", "password"),
        ("bob", "1" * 20, "password"),
    ],
)
def test_a_name_or_password_that_will_not_do(username: str, password: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.create_user(username=username, password=password, actor=ANN)
    assert caught.value.field == field
    assert not User.objects.exists()


def test_names_differ_in_more_than_case() -> None:
    services.create_user(username="bob", password=PASSWORD, actor=ANN)
    with pytest.raises(Conflict, match="already"):
        services.create_user(username="Bob", password=PASSWORD, actor=ANN)


@pytest.mark.parametrize("slug", ["", "Upper", "-x", "a b", "ä", "x" * 64, "a/b"])
def test_a_slug_that_will_not_do(slug: str, admin: User) -> None:
    with pytest.raises(Invalid):
        services.create_project(slug=slug, name="", admin=admin, actor=ANN)


def test_a_slug_is_taken_once(project: Project, admin: User) -> None:
    with pytest.raises(Conflict):
        services.create_project(slug=project.slug, name="", admin=admin, actor=ANN)


def test_a_project_keeps_an_administrator(project: Project, admin: User, viewer: User) -> None:
    with pytest.raises(Conflict, match="last administrator"):
        services.remove_membership(project, admin, actor=ANN)
    with pytest.raises(Conflict, match="last administrator"):
        services.set_membership(project, admin, role=Role.VIEWER, actor=ANN)
    services.set_membership(project, viewer, role=Role.ADMIN, actor=ANN)
    services.remove_membership(project, admin, actor=ANN)
    assert Membership.objects.get(project=project, role=Role.ADMIN).user == viewer


def test_one_who_cannot_sign_in_is_no_administrator(project: Project, admin: User, viewer: User) -> None:
    services.set_membership(project, viewer, role=Role.ADMIN, actor=ANN)
    services.set_active(viewer, active=False, actor=ANN)
    with pytest.raises(Conflict):
        services.remove_membership(project, admin, actor=ANN)


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_remove_each_other_at_once(project: Project, admin: User, viewer: User) -> None:
    services.set_membership(project, viewer, role=Role.ADMIN, actor=ANN)
    both = threading.Barrier(2)
    refused: list[str] = []

    def remove(user: User) -> None:
        try:
            both.wait(60)
            services.remove_membership(project, user, actor=ANN)
        except Conflict as error:
            refused.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=[each]) for each in (admin, viewer)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert refused == ["last_admin"]
    assert Membership.objects.filter(project=project, role=Role.ADMIN).count() == 1


def test_a_membership_that_stays_the_same_is_no_event(project: Project, viewer: User) -> None:
    before = Event.objects.count()
    services.set_membership(project, viewer, role=Role.VIEWER, actor=ANN)
    assert Event.objects.count() == before


def test_leaving_a_project_ends_the_tokens_for_it(project: Project, viewer: User) -> None:
    token, _ = services.issue_token(viewer, name="t", project=project, actor=ANN)
    services.remove_membership(project, viewer, actor=ANN)
    token.refresh_from_db()
    assert token.revoked_at is not None


def test_a_token_is_kept_as_a_keyed_digest_only(viewer: User) -> None:
    token, text = services.issue_token(viewer, name="t", actor=ANN)
    assert text.startswith("mf_")
    assert len(text) == len("mf_") + 43
    assert token.digest == tokens.digest(text)
    assert text not in str(list(ApiToken.objects.values()))
    assert token.hint == text[:9]


@pytest.mark.parametrize("wanted", [{"role": Role.ADMIN}, {"project": None}, {"expires_at": None}])
def test_a_token_issues_no_stronger_one(project: Project, admin: User, wanted: dict[str, Any]) -> None:
    soon = timezone.now() + timedelta(days=1)
    token, _ = services.issue_token(admin, name="t", role=Role.OPERATOR, project=project, expires_at=soon, actor=ANN)
    admin.token = token
    same: dict[str, Any] = {"role": Role.OPERATOR, "project": project, "expires_at": soon}
    services.issue_token(admin, name="as strong", **same, actor=ANN)
    with pytest.raises(Conflict, match="stronger"):
        services.issue_token(admin, name="stronger", **{**same, **wanted}, actor=ANN)


def test_a_token_for_a_project_of_others_is_refused(project: Project, stranger: User) -> None:
    with pytest.raises(Conflict, match="not a member"):
        services.issue_token(stranger, name="t", project=project, actor=ANN)


def test_the_last_superuser_stays(superuser: User) -> None:
    with pytest.raises(Conflict, match="last superuser"):
        services.set_active(superuser, active=False, actor=ANN)
    make_user("second", superuser=True)
    assert not services.set_active(superuser, active=False, actor=ANN).is_active


@pytest.mark.django_db(transaction=True)
def test_two_who_take_one_name_at_once_are_not_both_made() -> None:
    both = threading.Barrier(2)
    told: list[str] = []

    def make() -> None:
        try:
            both.wait(60)
            told.append(services.create_user(username="nina", password=None, actor=SYSTEM).username)
        except Conflict as error:
            told.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(told) == ["nina", "username_taken"]


def test_a_changed_password_is_told_without_a_value(viewer: User) -> None:
    services.change_password(viewer, password=PASSWORD, actor=ANN)
    viewer.refresh_from_db()
    assert viewer.check_password(PASSWORD)
    event = Event.objects.filter(object_type="user", verb="user changed").latest("id")
    assert (event.before, event.after) == (None, {"password": "changed"})


def bootstrap() -> dict[str, Any]:
    out = StringIO()
    call_command("bootstrap", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_bootstrap_makes_the_first_administrator_once() -> None:
    first = bootstrap()
    user = User.objects.get(username=first["username"])
    assert user.check_password(first["password"])
    assert user.is_superuser
    assert user.role_in(Project.objects.get(slug="default")) == Role.ADMIN
    assert ApiToken.objects.get(digest=tokens.digest(first["token"])).user == user
    assert bootstrap() == {"username": "admin", "password": None, "token": None}
    assert {each.actor_name for each in Event.objects.all()} == {"bootstrap"}


@pytest.mark.django_db(transaction=True)
def test_two_first_starts_at_once_make_one_administrator() -> None:
    both = threading.Barrier(2)
    made: list[str | None] = []

    def start() -> None:
        try:
            both.wait(60)
            made.append(services.ensure_first_admin(actor=SYSTEM).password)
        finally:
            connection.close()

    threads = [threading.Thread(target=start) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert User.objects.count() == 1
    assert sorted(password is None for password in made) == [False, True]
