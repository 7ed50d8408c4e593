"""Freshness: when the next load is due follows from the last one alone; what is late is raised once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.audit.context import acting
from apps.audit.models import Event
from apps.pipelines import document, freshness
from apps.pipelines.expecting import Expected
from apps.pipelines.freshness import judged
from apps.pipelines.models import Freshness, Ingestion, Run
from apps.pipelines.schedules import clock
from apps.snapshots.models import Dataset, Snapshot
from apps.sources.models import Source, Stream
from apps.sources.parameters import InvalidFields
from manifold.status import status_of
from tests.apps.pipelines import workshop as ws
from tests.furnished import Furnished
from tests.people import Api

API = "/api/v1/projects/flights/"
ADDRESS = API + "datasets/orders/freshness/"
OF_STREAM = API + "sources/drop/streams/orders/freshness/"
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana"]
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
CLOCKS = st.builds(lambda hour, minute: f"{hour:02d}:{minute:02d}", st.integers(0, 23), st.integers(0, 59))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@settings(deadline=None, max_examples=200)
@given(zone=st.sampled_from(ZONES), by=CLOCKS, loaded=MOMENTS, weekdays=st.booleans())
def test_it_is_due_at_that_time_of_the_next_day_that_counts(
    zone: str, by: str, loaded: datetime, weekdays: bool
) -> None:
    """Also where clocks are set forward or back: never twice on a day, and no day is left out."""
    expected = Expected(by=by, timezone=zone, business_days=weekdays)
    due = expected.due(loaded)
    assert due is not None and due > loaded
    local, before = due.astimezone(ZoneInfo(zone)), loaded.astimezone(ZoneInfo(zone))
    days = (local.date() - before.date()).days
    assert 1 <= days <= (3 if weekdays else 1)
    assert not weekdays or local.weekday() < 5
    wall = datetime.fromisoformat(f"{local.date()}T{by}").replace(tzinfo=ZoneInfo(zone))
    skipped = wall.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall.replace(tzinfo=None)
    assert skipped or f"{local:%H:%M}" == by
    assert judged(expected, loaded, due - timedelta(microseconds=1)).state == "fresh"
    assert judged(expected, loaded, due).state == "late"
    assert judged(expected, loaded, due + timedelta(days=1)).state == "stale"
    again = expected.due(due)
    assert again is not None and timedelta(hours=22) < again - due


@pytest.mark.parametrize(
    ("expected", "loaded", "due"),
    [
        ({"max_age": 7200}, "2026-03-02T10:00", "2026-03-02T12:00"),
        # Loaded too late for today is still today's; it does not count for tomorrow.
        ({"by": "09:00"}, "2026-03-02T09:30", "2026-03-03T09:00"),
        ({"by": "09:00"}, "2026-03-01T20:00", "2026-03-02T09:00"),
        ({"by": "09:00", "window": 50_400}, "2026-03-01T20:00", "2026-03-03T09:00"),
        # Friday to Monday; Good Friday and Easter Monday of 2026 are the 3rd and the 6th of April.
        ({"by": "09:00", "business_days": True}, "2026-03-06T08:00", "2026-03-09T09:00"),
        ({"by": "09:00", "business_days": True, "holidays": "DE"}, "2026-04-02T08:00", "2026-04-07T09:00"),
        # The clocks of Berlin jump from two to three on the 29th of March.
        ({"by": "02:30", "timezone": "Europe/Berlin"}, "2026-03-28T12:00", "2026-03-29T01:00"),
    ],
)
def test_when_the_next_load_is_due(expected: dict[str, Any], loaded: str, due: str) -> None:
    assert Expected(**expected).due(at(loaded)) == at(due)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "by"),
        ({"by": "09:00", "max_age": 60}, "by"),
        ({"by": "25:00"}, "by"),
        ({"by": "09:00", "timezone": "Mars/Base"}, "timezone"),
        ({"by": "09:00", "holidays": "Atlantis"}, "holidays"),
        ({"max_age": 3600, "business_days": True}, "by"),
        ({"max_age": 1}, "max_age"),
        ({"by": "09:00", "sometimes": True}, "sometimes"),
    ],
)
def test_what_makes_no_sense_is_refused_and_named(wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        freshness.understood(wanted)
    assert list(refused.value.fields) == [field]


@pytest.mark.django_db
def test_each_change_is_raised_once(furnished: Furnished) -> None:
    dataset = Dataset.objects.get(slug="orders")
    freshness.expect(dataset, {"max_age": 3600, "grace": 60}, actor=ws.ACTOR)
    loaded = Snapshot.objects.get(dataset=dataset).created_at

    def raised(after: int) -> list[str]:
        for _ in range(2):
            freshness.watch_at(loaded + timedelta(seconds=after))
        verbs = [f"dataset {each}" for each in ("fresh", "late", "stale")]
        return list(Event.objects.filter(verb__in=verbs).order_by("-id").values_list("verb", flat=True))

    assert raised(3599) == []
    assert raised(3600) == ["dataset late"]
    assert raised(3661) == ["dataset stale", "dataset late"]
    Snapshot.objects.filter(dataset=dataset).update(created_at=loaded + timedelta(seconds=3600))
    assert raised(3700) == ["dataset fresh", "dataset stale", "dataset late"]
    event = Event.objects.filter(verb="dataset late")[0]
    assert (event.object_name, event.data["says"]) == ("orders", "Never older than one hour")


@pytest.mark.django_db
def test_what_is_late_stands_on_home_and_in_status(furnished: Furnished, client: Client, api: Api) -> None:
    """A late stream stands on the card of its source, too."""
    page = f"/p/flights/sources/drop/streams/{Stream.objects.get(name='orders').pk}/"
    viewer = api(furnished.people["viewer"])
    assert viewer.get(API + "sources/drop/card/").json()["late_streams"] == []
    freshness.expect(Dataset.objects.get(slug="orders"), {"max_age": 60}, actor=ws.ACTOR)
    Snapshot.objects.update(created_at=at("2026-01-01T00:00"))
    Ingestion.objects.update(at=timezone.now() - timedelta(hours=30))
    found = status_of(furnished.project)
    assert [each["fresh"] for each in found["datasets"] if each["dataset"] == "orders"] == [False]
    assert any(each.startswith("orders is stale.") for each in found["advice"])
    assert "drop/orders is late. Never older than one day was expected." in found["advice"]
    client.force_login(furnished.people["viewer"])
    home, cards, own = (client.get(each).content.decode() for each in ("/p/flights/", "/p/flights/sources/", page))
    assert '<span class="state warn">stale</span>' in home
    assert "1 stream did not come in time." in home and f'href="{page}">drop/orders</a> is late.' in home
    assert viewer.get(API + "sources/drop/card/").json()["late_streams"] == ["orders"]
    assert f'<a class="state warn" href="{page}">orders is late</a>' in cards
    assert f'hx-get="{page}freshness/"' in own


@pytest.mark.django_db
def test_what_needs_somebody_stands_in_status(furnished: Furnished) -> None:
    Source.objects.filter(slug="drop").update(health="warning", health_reason="Its secrets expire tomorrow.")
    run = furnished.running
    Run.objects.filter(pk=run.pk).update(state="waiting")
    advice = status_of(furnished.project)["advice"]
    assert "The source drop, warning: Its secrets expire tomorrow." in advice
    assert f"A run of {run.pipeline.slug} waits for a decision: `manifold runs decide {run.pk}`." in advice


@pytest.mark.django_db
def test_what_has_not_been_loaded_yet_is_not_stale_before_it_is_expected(furnished: Furnished, client: Client) -> None:
    """On home and in status alike."""
    made = Dataset.objects.create(project=furnished.project, slug="later", owner_pipeline=uuid4(), owner_step="kept")
    client.force_login(furnished.people["viewer"])

    def shown() -> tuple[str, bool]:
        (found,) = [each for each in status_of(furnished.project)["datasets"] if each["dataset"] == "later"]
        kept = client.get("/p/flights/").context["kept"]
        return found["state"], next(each.stale for each in kept if each.dataset == made)

    assert shown() == ("fresh", False)
    assert "later has not been loaded yet: run its pipeline." in status_of(furnished.project)["advice"]
    freshness.expect(made, {"max_age": 60}, actor=ws.ACTOR)
    Dataset.objects.filter(pk=made.pk).update(created_at=at("2026-01-01T00:00"))
    assert shown() == ("stale", True)


@pytest.mark.django_db
def test_it_is_set_and_cleared(furnished: Furnished, api: Api) -> None:
    admin = api(furnished.people["admin"])
    made = admin.put(ADDRESS, {"by": "09:00", "timezone": "Europe/Berlin", "business_days": True})
    assert made.status_code == 200, made.json()
    assert made.json()["says"] == "By 09:00 on weekdays (Europe/Berlin)"
    listed = admin.get(API + "freshness/?page_size=1").json()
    assert listed["results"] == [admin.get(OF_STREAM).json()]
    assert admin.get(listed["next"]).json()["results"] == [made.json()]
    refused = admin.put(ADDRESS, {"by": "9"})
    assert refused.status_code == 400 and refused.json()["errors"][0]["field"] == "by"
    assert admin.delete(ADDRESS).status_code == 204
    assert admin.get(ADDRESS).status_code == 404
    assert Event.objects.filter(object_type="freshness", object_name="orders").count() == 3


@pytest.mark.django_db
def test_the_form_says_hours_and_what_is_wrong(furnished: Furnished, client: Client) -> None:
    client.force_login(furnished.people["admin"])
    place = "/p/flights/datasets/orders/freshness/"
    assert "Never older than one day" in client.get(place, headers={"HX-Request": "true"}).content.decode()
    sent = {"when": "by", "by": "09:00", "timezone": "Mars/Base", "window": "", "grace": "2.5"}
    answer = client.post(place, sent)
    assert answer.status_code == 422 and "There is no time zone" in answer.content.decode()
    client.post(place, {**sent, "timezone": "UTC", "business_days": "on"})
    assert Freshness.objects.get(stream=None).expected == {"by": "09:00", "business_days": True, "grace": 9000}
    assert 'value="2.5"' in client.get(place).content.decode()
    assert '<option value="by" selected>' in client.get(place).content.decode()
    client.post(place, {"when": "never"})
    assert not Freshness.objects.filter(stream=None).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({}, True),
        ({"inserted": 0, "quarantined": 2}, True),
        ({"inserted": 0, "skipped": 2}, False),
        ({"inserted": 0, "skipped": 2, "loads": [{"step": "out", "status": "already_done"}]}, True),
        ({"state": "failed"}, False),
        ({"stream": "others"}, False),
    ],
)
def test_what_is_a_load_of_a_stream(furnished: Furnished, changed: dict[str, Any], counts: bool) -> None:
    stream = Stream.objects.get(name="orders")
    row = Ingestion.objects.get(source=stream.source_id, stream="orders", state="succeeded")
    row.fetched, row.inserted, row.skipped, row.quarantined, row.loads = 2, 2, 0, 0, []
    for name, value in changed.items():
        setattr(row, name, value)
    row.save()
    shown = freshness.shown_of(stream, clock())
    assert shown is not None and (shown["loaded_at"] is not None) == counts


@pytest.mark.django_db
def test_an_index_holds_only_what_is_a_load_of_a_stream() -> None:
    """So that it stays one look, however often a stream was read since without anything new."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    asked = freshness.with_arrival(Freshness.objects.all()).explain()
    assert "ingestion_arrived" in asked and "already_done" not in asked


@pytest.mark.django_db
def test_that_of_a_stream_is_set_and_cleared(furnished: Furnished, api: Api, client: Client) -> None:
    admin = api(furnished.people["admin"])
    made = admin.put(OF_STREAM, {"by": "09:00"}).json()
    of = {"name": "drop/orders", "dataset": None, "source": "drop", "stream": "orders"}
    assert {name: made[name] for name in of} == of
    assert admin.get(OF_STREAM).json() == made
    assert admin.delete(OF_STREAM).status_code == 204
    missing = admin.get(OF_STREAM)
    assert missing.status_code == 404
    assert missing.json()["detail"] == "Nothing is expected of the stream `drop/orders`. Say what with PUT."
    client.force_login(furnished.people["admin"])
    page = f"/p/flights/sources/drop/streams/{Stream.objects.get(name='orders').pk}/"
    assert "it is never late" in client.get(page + "freshness/", headers={"HX-Request": "true"}).content.decode()
    saved = client.post(page + "freshness/", {"when": "age", "max_age": "2"})
    assert saved.headers["Location"] == page
    row = Freshness.objects.get(stream__name="orders")
    assert (row.expected, row.project) == ({"max_age": 7200}, furnished.project)
    assert Event.objects.filter(object_type="freshness", object_name="drop@orders").count() == 4


@pytest.mark.django_db
def test_it_is_of_a_dataset_or_of_a_stream_never_of_both(furnished: Furnished) -> None:
    row = Freshness.objects.get(stream=None)
    for wrong in ({"stream": Stream.objects.exclude(name="orders")[0]}, {"dataset": None}):
        with pytest.raises(IntegrityError, match="freshness_of_one"), acting(ws.ACTOR):
            Freshness.objects.filter(pk=row.pk).update(**wrong)


SAID = """
manifold: 1
pipeline: sales
steps:
  sales: {extract: {source: drop, stream: orders}}
  kept:
    load: {input: sales, dataset: sales}
    expected: {max_age: 3600}
"""


@pytest.mark.django_db
def test_a_document_says_it_and_then_nobody_else_does(furnished: Furnished, api: Api, client: Client) -> None:
    ws.published(furnished.project, SAID)
    row = Freshness.objects.get(dataset__slug="sales")
    assert row.expected == {"max_age": 3600}
    address = "/api/v1/projects/flights/datasets/sales/freshness/"
    admin = api(furnished.people["admin"])
    for refused in (admin.put(address, {"by": "09:00"}), admin.delete(address)):
        assert refused.status_code == 409, refused.json()
        assert "Change `expected` of its step `kept` there." in refused.json()["detail"]
    client.force_login(furnished.people["admin"])
    page = client.post("/p/flights/datasets/sales/freshness/", {"when": "age", "max_age": "2"})
    assert page.status_code == 409 and "The document of sales says" in page.content.decode()
    ws.published(furnished.project, SAID.replace("max_age: 3600", "by: '09:00'"))
    assert Freshness.objects.get(dataset__slug="sales").expected == {"by": "09:00"}
    ws.published(furnished.project, SAID.replace("    expected: {max_age: 3600}\n", ""))
    assert not Freshness.objects.filter(dataset__slug="sales").exists()
    # What somebody expects by hand stays when a document is published that says nothing of it.
    assert admin.put(address, {"by": "10:00"}).status_code == 200
    ws.published(furnished.project, SAID.replace("    expected: {max_age: 3600}\n", "") + "title: Sales\n")
    assert Freshness.objects.get(dataset__slug="sales").expected == {"by": "10:00"}


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        (("{max_age: 3600}", "{}"), "steps.kept.expected", "either `by` a time of day, or at most `max_age`"),
        (("{max_age: 3600}", "{by: noon}"), "steps.kept.expected.by", "no time of a day"),
        (("{source: drop, stream: orders}}", "{source: drop, stream: orders}, expected: {max_age: 60}}"),
         "steps.sales.expected", "or with `manifold freshness set drop/orders`"),
    ],
)  # fmt: skip
def test_what_a_document_may_not_say_of_it(change: tuple[str, str], path: str, said: str) -> None:
    found, problems = document.parse(SAID.replace(*change))
    assert found is None
    assert any(each.path == path and said in f"{each} {each.remedy}" for each in problems), problems
