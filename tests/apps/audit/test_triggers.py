"""Who did what is known whichever way a row is changed, and nothing recorded can be changed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from apps.accounts import services
from apps.accounts.models import ApiToken, Membership, Project, Role, User
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.models import Event
from apps.audit.services import record
from apps.sources.models import Credential, Source, Stream
from tests.people import make_user

pytestmark = pytest.mark.django_db

ANN = Actor("user", None, "ann")


def newest(object_type: str) -> Any:
    return Event.objects.filter(object_type=object_type).order_by("-id")[0]


def test_a_created_row_is_an_event_with_its_author(project: Project) -> None:
    with acting(ANN, request_id="request-1"):
        source = Source.objects.create(project=project, slug="drop", title="Drop", connector="files")
    event = newest("source")
    assert (event.verb, event.object_id, event.object_name) == ("source created", str(source.pk), "drop")
    assert (event.actor_kind, event.actor_name, event.request_id) == ("user", "ann", "request-1")
    assert event.project == project.pk
    assert event.before is None
    assert event.after["slug"] == "drop"
    assert "id" not in event.after


def test_an_update_shows_only_what_changed(project: Project) -> None:
    source = Source.objects.create(project=project, slug="drop", title="Drop", connector="files")
    with acting(ANN):
        Source.objects.filter(pk=source.pk).update(title="Drop box", health="healthy")
    event = newest("source")
    assert (event.verb, event.before, event.after) == ("source changed", {"title": "Drop"}, {"title": "Drop box"})


def test_volatile_columns_leave_no_event(project: Project) -> None:
    source = Source.objects.create(project=project, slug="drop", title="Drop", connector="files")
    before = Event.objects.count()
    Source.objects.filter(pk=source.pk).update(health="healthy")
    Source.objects.filter(pk=source.pk).update(title="Drop")
    assert Event.objects.count() == before


def test_a_deleted_row_is_told_as_it_was(project: Project) -> None:
    source = Source.objects.create(project=project, slug="drop", title="Drop", connector="files")
    with acting(ANN):
        source.delete()
    event = newest("source")
    assert (event.verb, event.after) == ("source deleted", None)
    assert event.before["title"] == "Drop"


def test_secrets_never_stand_in_an_event(project: Project) -> None:
    credential = Credential.objects.create(
        project=project, slug="db", connector="postgresql", secrets={"password": "canary-1"}, key_version=1
    )
    Credential.objects.filter(pk=credential.pk).update(secrets={"password": "canary-2"})
    assert newest("credential").after == {"secrets": "changed"}
    credential.delete()
    user = make_user("ann")
    User.objects.filter(pk=user.pk).update(password="canary-3")
    assert newest("user").after == {"password": "changed"}
    services.issue_token(user, name="t", actor=SYSTEM)
    digest = ApiToken.objects.get().digest
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(e::text, ' ') FROM audit_event e")
        everything = cursor.fetchone()[0]
    assert "canary" not in everything
    assert digest not in everything


def test_a_row_below_another_knows_its_project_and_name(project: Project) -> None:
    source = Source.objects.create(project=project, slug="drop", title="Drop", connector="files")
    Stream.objects.create(source=source, name="flights")
    assert (newest("stream").object_name, newest("stream").project) == ("drop@flights", project.pk)
    membership = Membership.objects.get(project=project)
    assert (newest("membership").object_name, newest("membership").project) == ("ada@flights", project.pk)
    membership.delete()
    assert newest("membership").project == project.pk
    assert newest("project").project == project.pk


def test_a_write_without_an_actor_names_the_database_role(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_project SET name = 'Renamed'")
        cursor.execute("SELECT session_user")
        role = cursor.fetchone()[0]
    assert (newest("project").actor_kind, newest("project").actor_name) == ("database", f"database:{role}")


def test_the_actor_is_gone_after_the_block(project: Project) -> None:
    with acting(ANN):
        pass
    Project.objects.update(name="By nobody")
    assert newest("project").actor_kind == "database"


def test_another_actor_inside_and_the_outer_one_again(project: Project) -> None:
    with acting(ANN):
        with acting(SYSTEM):
            Project.objects.update(name="By the platform")
        assert newest("project").actor_name == "manifold"
        with acting(ANN):
            Project.objects.update(name="By Ann")
        assert newest("project").actor_name == "ann"
        with pytest.raises(ValueError, match="undone"), acting(SYSTEM):
            raise ValueError("undone")
        Project.objects.update(name="By Ann again")
        assert newest("project").actor_name == "ann"


def test_the_same_actor_inside_is_one_transaction(project: Project) -> None:
    def both() -> None:
        with acting(ANN):
            Project.objects.update(name="Half")
            with acting(ANN):
                raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        both()
    assert Project.objects.get().name == "Flights"


def test_record_belongs_to_whoever_acts_or_is_named(project: Project) -> None:
    with acting(ANN, request_id="request-2"):
        record("run created", object_type="run", object_id=7, project=project.pk, data={"mode": "seed"})
    event = newest("run")
    assert (event.actor_name, event.request_id, event.data, event.object_id) == (
        "ann",
        "request-2",
        {"mode": "seed"},
        "7",
    )
    record("tick", object_type="tick", object_id="", actor=SYSTEM)
    assert newest("tick").actor_name == "manifold"


def test_an_event_is_stamped_by_the_database(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (at, xid, cluster, actor_kind, actor_name, request_id, verb, object_type,"
            " object_id, object_name, data)"
            " VALUES ('2001-01-01', 3, 'x', 'user', 'eve', '', 'v', 'forged', '1', '', '{}')"
        )
    event = newest("forged")
    assert event.at.year > 2001
    assert event.xid > 3
    assert event.cluster.isdigit()


@pytest.mark.parametrize("table", ["audit_event", "audit_seal"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_log_is_append_only(table: str, statement: str) -> None:
    with pytest.raises(IntegrityError, match=f"{table} is append-only"), transaction.atomic():
        connection.cursor().execute(statement.format(table))


def test_pgtriggers_escape_does_not_open_it(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(tgname, ',') FROM pg_trigger WHERE tgrelid = 'audit_event'::regclass")
        names = cursor.fetchone()[0]
        cursor.execute("SELECT set_config('pgtrigger.ignore', %s, true)", ["{" + names + "}"])
        with pytest.raises(DatabaseError, match="append-only"):
            cursor.execute("DELETE FROM audit_event")


def test_a_temporary_table_does_not_catch_the_events(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE audit_event (LIKE public.audit_event INCLUDING DEFAULTS) ON COMMIT DROP")
        Project.objects.update(name="Unseen")
        cursor.execute("SELECT verb FROM public.audit_event ORDER BY id DESC LIMIT 1")
        assert cursor.fetchone() == ("project changed",)


def test_an_event_goes_with_its_transaction(project: Project) -> None:
    def undone() -> None:
        with acting(ANN):
            services.set_membership(project, make_user("bob"), role=Role.VIEWER, actor=ANN)
            raise ValueError("no")

    before = Event.objects.count()
    with pytest.raises(ValueError, match="no"):
        undone()
    assert Event.objects.count() == before
