"""How columns have changed, through the API and the pages: looked at, seen, taken over."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import psycopg
import pytest
from django.test import Client

from apps.accounts.models import Project, Role
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.sources import services
from apps.sources.models import Drift, Source, Stream
from apps.sources.parameters import InvalidFields
from apps.sources.streams import configured, merged, refreshed
from dataplane import drift as drifts
from dataplane.connectors.local_files import LocalFiles
from dataplane.connectors.schema import Column, StreamInfo
from tests.people import Api, member

pytestmark = pytest.mark.django_db

BASE = "/api/v1/projects/flights/sources/reference-db/"
STREAM = f"{BASE}streams/public.flights/"
NOW = (
    Column("id", "BIGINT", nullable=False, native="bigint"),
    Column("price", "DECIMAL(10,2)", native="numeric(10,2)"),
    Column("at", "TIMESTAMP WITH TIME ZONE", native="timestamp with time zone"),
)


@pytest.fixture
def stream(source: Source) -> Stream:
    services.discover_streams(source, actor=SYSTEM)
    return Stream.objects.select_related("source").get(name="public.flights")


def stopped(stream: Stream) -> Drift:
    """A change that has stopped a run: `fare` is called `price` now."""
    seen = tuple(Column(**each) for each in stream.seen)
    found = drifts.Drift(NOW, drifts.compared(seen, NOW), stops=ValueError("stopped"))  # type: ignore[arg-type]
    kept = services.note_drift(stream, found, run=None, actor=SYSTEM)
    assert kept is not None
    return kept


def test_it_works(project: Project, stream: Stream, api: Api) -> None:
    drift = stopped(stream)
    client = api(member("olga", project, Role.OPERATOR))
    (shown,) = client.get(f"{STREAM}drift/").json()["results"]
    assert (shown["id"], shown["state"], shown["seen_at"]) == (str(drift.pk), "stopped", None)
    (change,) = shown["changes"]
    assert (change["kind"], change["column"], change["before"]) == ("renamed", "fare", "numeric(10,2)")
    assert change["candidates"][0]["column"] == "price"
    assert client.get(f"{BASE}drift/").json()["results"] == [shown]
    refused = client.post(f"{STREAM}drift/{drift.pk}/accept/", {"renames": {"fare": "tax"}})
    assert refused.status_code == 400 and "The column tax is not new. New are: price." in refused.content.decode()
    accepted = client.post(f"{STREAM}drift/{drift.pk}/accept/", {"renames": {"fare": "price"}})
    assert [each["name"] for each in accepted.json()["columns"]] == ["id", "price", "at"]
    assert accepted.json()["config"]["names"] == {"price": "fare"}
    assert client.post(f"{STREAM}drift/{drift.pk}/accept/").status_code == 409
    (shown,) = client.get(f"{STREAM}drift/").json()["results"]
    assert (shown["state"], shown["settled_by"], shown["seen_by"]) == ("followed", "olga", "olga")


def test_a_change_that_another_one_has_overtaken_is_settled_with_it(project: Project, stream: Stream, api: Api) -> None:
    first = stopped(stream)
    now = (*NOW, Column("tax", "INTEGER", native="integer"))
    seen = tuple(Column(**each) for each in stream.seen)
    found = drifts.Drift(now, drifts.compared(seen, now), asks=True)
    second = services.note_drift(stream, found, run=None, actor=SYSTEM)
    assert second is not None
    client = api(member("olga", project, Role.OPERATOR))
    refused = client.post(f"{STREAM}drift/{first.pk}/accept/")
    assert refused.status_code == 409 and "have changed again since" in refused.content.decode()
    assert client.post(f"{STREAM}drift/{second.pk}/accept/").status_code == 200
    assert {(each["state"], each["seen_by"]) for each in client.get(f"{STREAM}drift/").json()["results"]} == {
        ("followed", "olga")
    }
    stream.refresh_from_db()
    assert {each["name"] for each in stream.config["columns"]} == {"id", "price", "at", "tax"}


def test_a_change_that_an_earlier_version_left_open_is_settled_by_what_was_followed_since(stream: Stream) -> None:
    first = stopped(stream)
    now = (*NOW, Column("tax", "INTEGER", native="integer"))
    found = drifts.Drift(now, drifts.compared(tuple(Column(**each) for each in stream.seen), now))
    services.note_drift(stream, found, run=None, actor=SYSTEM)
    Drift.objects.filter(pk=first.pk).update(state="asked")
    declared = Stream.objects.get(pk=stream.pk).config
    services.accept_drift(first, remember=True, actor=SYSTEM)
    stream.refresh_from_db()
    assert (stream.config, stream.drift_answered) == (declared, ["renamed"])
    first.refresh_from_db()
    assert first.state == "followed"


def test_of_a_nested_column_the_parts_are_told(project: Project, stream: Stream, api: Api, client: Client) -> None:
    types = ("STRUCT(zip VARCHAR, n INTEGER)", "STRUCT(zip BIGINT, n INTEGER)")
    was, now = (Column("address", type_, native=type_) for type_ in types)
    stream.seen = [asdict(was)]
    stream.save()
    found = drifts.Drift((now,), drifts.compared([was], [now]), asks=True)
    services.note_drift(stream, found, run=None, actor=SYSTEM)
    olga = member("olga", project, Role.OPERATOR)
    (shown,) = api(olga).get(f"{STREAM}drift/").json()["results"]
    part = {"kind": "retyped", "column": "address.zip", "before": "VARCHAR", "after": "BIGINT"}
    (change,) = shown["changes"]
    assert (change["before"], change["after"], change["inside"]) == (*types, [part])
    event = Event.objects.get(verb="schema drift found")
    assert event.data["changes"] == ["address.zip is BIGINT, it was VARCHAR"]
    client.force_login(olga)
    page = client.get(f"/p/flights/sources/reference-db/streams/{stream.pk}/").content.decode()
    assert "<dt>address.zip</dt><dd><del>VARCHAR</del><ins>BIGINT</ins></dd>" in page and "<dt>address</dt>" not in page
    # As an earlier version kept it.
    for each in Drift.objects.all():
        del each.changes[0]["inside"]
        each.save()
    (shown,) = api(olga).get(f"{STREAM}drift/").json()["results"]
    assert (shown["changes"][0]["after"], shown["changes"][0]["inside"]) == (types[1], [])
    assert types[1] in client.get(f"/p/flights/sources/reference-db/streams/{stream.pk}/").content.decode()


def test_it_is_marked_as_seen(project: Project, stream: Stream, api: Api) -> None:
    stopped(stream)
    (shown,) = api(member("olga", project, Role.OPERATOR)).post(f"{STREAM}drift/seen/").json()["results"]
    assert shown["seen_by"] == "olga" and shown["state"] == "stopped"
    assert Event.objects.filter(verb="schema drift seen").count() == 1


def test_who_chooses_the_policy(project: Project, stream: Stream, api: Api) -> None:
    admin, operator = api(member("anna", project, Role.ADMIN)), api(member("olga", project, Role.OPERATOR))
    assert admin.get(BASE).json()["drift"] == "evolve"
    assert operator.patch(BASE, {"drift": "ask"}).status_code == 403
    assert admin.patch(BASE, {"drift": "nonsense"}).status_code == 400
    assert admin.patch(BASE, {"drift": "ask"}).json()["drift"] == "ask"
    stream.refresh_from_db()
    assert services.policy_of(Stream.objects.get(pk=stream.pk)) == "ask"
    assert admin.patch(STREAM, {"drift": "stop"}).json()["drift"] == "stop"
    assert services.policy_of(Stream.objects.get(pk=stream.pk)) == "stop"
    assert admin.patch(STREAM, {"drift": ""}).json()["drift"] == ""
    changed = Event.objects.filter(object_type="source", verb="source changed").latest("pk")
    assert changed.after == {"drift": "ask"}


def test_another_policy_forgets_what_was_answered(project: Project, stream: Stream) -> None:
    drift = stopped(stream)
    services.accept_drift(drift, remember=True, actor=SYSTEM)
    stream.refresh_from_db()
    assert stream.drift_answered == ["renamed"]
    services.update_stream(stream, config={}, drift="", actor=SYSTEM)
    assert Stream.objects.get(pk=stream.pk).drift_answered == ["renamed"]
    services.update_stream(stream, config={}, drift="ask", actor=SYSTEM)
    assert Stream.objects.get(pk=stream.pk).drift_answered == []


def test_a_look_at_the_source_is_kept_too(source: Source, stream: Stream, postgres_url: str) -> None:
    assert not Drift.objects.exists()
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("ALTER TABLE flights ADD COLUMN tail text")
    services.discover_streams(source, actor=SYSTEM)
    (kept,) = Drift.objects.all()
    assert (kept.state, kept.changes[0]["column"]) == ("followed", "tail")
    services.discover_streams(source, actor=SYSTEM)
    assert Drift.objects.count() == 1


def test_the_cursor_cannot_go(stream: Stream) -> None:
    services.update_stream(stream, config={"cursor": "fare"}, actor=SYSTEM)
    with pytest.raises(Exception, match="Choose another cursor"):
        services.accept_drift(stopped(stream), actor=SYSTEM)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"nothing": "x"}, "There is no column nothing. public.flights has id, fare, at."),
        ({"id": "x"}, "The cursor id has to keep its name."),
        ({"fare": "x", "at": "x"}, "Give each column a name of its own."),
    ],
)
def test_names_that_cannot_be(stream: Stream, names: dict[str, str], said: str) -> None:
    services.update_stream(stream, config={"cursor": "id"}, actor=SYSTEM)
    with pytest.raises(InvalidFields) as refused:
        services.update_stream(stream, config={"names": names}, actor=SYSTEM)
    assert refused.value.fields["names"] == [said]


def test_files_may_have_had_several_names_for_one_column(stream: Stream) -> None:
    names = {"fare": "x", "at": "x"}
    assert merged(configured(stream), {"names": names}, LocalFiles).names == names


@pytest.mark.parametrize("fills", [True, False])
def test_a_new_column_with_a_name_that_is_taken_is_another_one(stream: Stream, fills: bool) -> None:
    config = replace(configured(stream), names={"fare": "old"})
    columns = (*config.columns, Column("old", "DATE"))
    found = refreshed(config, StreamInfo(config.name, columns), fills_missing=fills)
    assert found.names == ({"fare": "old"} if fills else {"fare": "old", "old": "old_2"})


def test_the_page_shows_the_change_and_takes_it_over(project: Project, stream: Stream) -> None:
    drift = stopped(stream)
    client = Client()
    client.force_login(member("olga", project, Role.OPERATOR))
    page = f"/p/flights/sources/reference-db/streams/{stream.pk}/"
    shown = client.get(page).content.decode()
    for words in ("What is fare called now?", "numeric(10,2)", "I have seen it", "Take it over"):
        assert words in shown
    assert client.post(f"{page}drift/seen/").status_code == 302
    assert "I have seen it" not in client.get(page).content.decode()
    given: dict[str, Any] = {"drift": str(drift.pk), "rename-fare": "price", "remember": "on"}
    assert client.post(f"{page}drift/accept/", given).status_code == 403
    client.force_login(member("anna", project, Role.ADMIN))
    assert client.post(f"{page}drift/accept/", given).status_code == 302
    stream.refresh_from_db()
    assert (stream.config["names"], stream.drift_answered) == ({"price": "fare"}, ["renamed"])
    assert "called price now" in client.get(page).content.decode()
