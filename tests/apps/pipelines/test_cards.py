"""The cards of sources: the figures of each kind, with data, without, and in error; the test from the card."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import services
from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.pipelines.cards import Card, cards
from apps.pipelines.models import Ingestion, Run, Schedule, StepRun, Window
from apps.sources.models import ConnectionCheck, Drift, Health, Source, SourceFile, Stream
from tests.furnished import Furnished, furnished  # noqa: F401  a fixture
from tests.people import Api

pytestmark = pytest.mark.django_db


def card_of(source: Source) -> Card:
    return cards(Source.objects.filter(pk=source.pk), source.project, timezone.now())[0]


def figures(source: Source) -> dict[str, Any]:
    return {each.label: each.value for each in card_of(source).figures}


def made(project: Project, connector: str, **values: Any) -> Source:
    return Source.objects.create(project=project, slug=f"a-{connector}", title=connector, connector=connector, **values)


def read(run: Run, source: Source, **values: Any) -> Ingestion:
    counts = {"fetched": 0, "inserted": 0, "updated": 0, "skipped": 0, "quarantined": 0, "used": 0, "bytes": 0}
    counts |= values
    counts["inserted"] = counts["fetched"]
    count = Ingestion.objects.filter(run=run).count()
    return Ingestion.objects.create(
        project=run.project,
        run=run,
        step_key=f"s{count}",
        source=source.pk,
        source_slug=source.slug,
        stream="x",
        **{"state": "succeeded", "seconds": 2.0, **counts},
    )


def test_files_are_told_by_what_became_of_them(furnished: Furnished) -> None:  # noqa: F811
    source = Source.objects.get(slug="drop")
    stream = Stream.objects.get(source=source, name="orders")
    now = timezone.now()
    kinds: dict[str, dict[str, Any]] = {"new.csv": {}, "aside.csv": {"ignored": True}, "went.csv": {"gone_at": now}}
    for name, values in kinds.items():
        SourceFile.objects.create(stream=stream, path=name, size=1, modified=now, last_seen_at=now, **values)
    found = figures(source)
    assert (found["pending"], found["processed"]) == (1, 1)
    assert found["last file"] == now
    Window.objects.filter(source=source.pk, state="done").update(state="failed")
    assert figures(source) | {"last file": None} == {"pending": 1, "processed": 0, "failed": 1, "last file": None}
    Window.objects.filter(source=source.pk).update(state="forgotten")
    assert figures(source)["pending"] == 2
    SourceFile.objects.update(modified=datetime(1970, 1, 1, tzinfo=UTC))
    assert figures(source)["last file"] is None, "the server does not say when it was written"


def test_a_database_shows_its_streams_rows_and_how_long_ago_it_was_read(furnished: Furnished) -> None:  # noqa: F811
    source = made(furnished.project, "postgresql")
    assert figures(source) == {"streams": 0, "rows, about": None, "last good read": None}
    for name, rows in {"a": 100, "b": 20, "c": None}.items():
        Stream.objects.create(source=source, name=name, rows=rows)
    good = read(furnished.succeeded, source, fetched=5)
    read(furnished.succeeded, source, state="failed")
    assert figures(source) == {"streams": 3, "rows, about": 120, "last good read": good.at}
    assert (card_of(source).read.state, card_of(source).read.rows) == ("failed", 0)


def test_an_api_shows_its_calls_what_is_left_and_what_failed(furnished: Furnished) -> None:  # noqa: F811
    source = made(furnished.project, "rest")
    assert figures(source) == {"calls in a day": 0, "requests left": None, "failures in a day": 0}
    stages = [{"name": "list", "ok": True, "detail": "2 streams; 4,200 of 5,000 requests are left."}]
    ConnectionCheck.objects.create(source=source, ok=True, seconds=1, stages=stages)
    read(furnished.succeeded, source, calls=7, fetched=9)
    read(furnished.succeeded, source, calls=2, state="failed")
    old = read(furnished.succeeded, source, calls=100)
    Ingestion.objects.filter(pk=old.pk).update(id="01800000-0000-7000-8000-000000000000")
    assert figures(source) == {"calls in a day": 9, "requests left": "4,200 of 5,000", "failures in a day": 1}


def test_a_stream_of_messages_shows_how_far_behind_and_how_fast_it_is(furnished: Furnished) -> None:  # noqa: F811
    source = made(furnished.project, "kafka")
    version = furnished.pipeline.published
    assert version is not None
    version.document["steps"]["events"] = {"extract": {"source": source.slug, "stream": "events"}}
    version.save()
    assert figures(source) == {"messages behind": None, "messages in a day": 0, "messages a second": None}
    for place, behind in enumerate((500, 42)):
        Window.objects.create(
            pipeline=furnished.pipeline,
            step_key="events",
            source=source.pk,
            stream="events",
            batch=(furnished.cancelled, furnished.succeeded)[place].pk,
            bounds={"kind": "offsets", "behind": behind},
            state="done",
        )
    read(furnished.succeeded, source, fetched=3000)
    read(furnished.succeeded, source, state="skipped")
    assert figures(source) == {"messages behind": 42, "messages in a day": 3000, "messages a second": None}
    for run, took in ((furnished.cancelled, 30), (furnished.succeeded, 1)):
        Run.objects.filter(pk=run.pk).update(batch=run.pk)
        StepRun.objects.create(
            run=run,
            key="events",
            kind="extract",
            position=9,
            state="succeeded",
            rows_in=3000,
            rows_out=10,
            started_at=(began := timezone.now()),
            finished_at=began + timedelta(seconds=took),
        )
    assert figures(source) == {"messages behind": 42, "messages in a day": 3000, "messages a second": "3,000"}


def test_it_says_when_a_schedule_reads_it_next_and_which_columns_have_changed(
    furnished: Furnished,  # noqa: F811
) -> None:
    source = Source.objects.get(slug="drop")
    soon = timezone.now() + timedelta(hours=2)
    Schedule.objects.update_or_create(pipeline=furnished.pipeline, defaults={"enabled": True, "next_at": soon})
    stream = source.streams.get(name="orders")
    for _ in range(2):
        Drift.objects.create(stream=stream, now=[], changes=[], state="followed")
    assert (card_of(source).next_at, card_of(source).changed) == (soon, 1)
    Drift.objects.update(seen_at=timezone.now())
    Schedule.objects.update(enabled=False)
    assert (card_of(source).next_at, card_of(source).changed) == (None, 0)


@pytest.fixture
def client(client: Client, furnished: Furnished) -> Client:  # noqa: F811
    client.force_login(furnished.people["operator"])
    return client


def test_each_card_is_on_the_page_whatever_its_health(client: Client, furnished: Furnished) -> None:  # noqa: F811
    for connector, health in zip(("rest", "kafka", "sqlite", "s3"), Health, strict=True):
        made(furnished.project, connector, health=health, health_reason="Nothing listens." if health == "error" else "")
    page = client.get("/p/flights/sources/").content.decode()
    assert all(f">{each}<" in page for each in Health.values)
    assert page.count("Nothing listens.") == 1
    assert page.count('class="card pipe source') == Source.objects.count()


def test_a_project_without_a_source_says_how_to_begin(client: Client, furnished: Furnished) -> None:  # noqa: F811
    admin = furnished.people["admin"]
    services.create_project(slug="empty", name="Empty", admin=admin, actor=SYSTEM)
    client.force_login(admin)
    page = client.get("/p/empty/sources/")
    assert page.status_code == 200
    assert "No source yet" in page.content.decode()


def test_a_source_is_tested_from_its_card(client: Client, furnished: Furnished) -> None:  # noqa: F811
    answer = client.post("/p/flights/sources/drop/card/").content.decode()
    assert 'id="card-drop"' in answer and '<span class="state ok">healthy</span>' in answer
    assert "<html" not in answer
    assert ConnectionCheck.objects.filter(source__slug="drop", actor_name="olga").exists()


def test_the_api_tells_what_stands_on_a_card(furnished: Furnished, api: Api) -> None:  # noqa: F811
    source = Source.objects.get(slug="drop")
    read(furnished.succeeded, source, fetched=30)
    viewer = api(furnished.people["viewer"])
    address = f"/api/v1/projects/{furnished.project.slug}"
    listed = {each["slug"]: each for each in viewer.get(f"{address}/cards/").json()["results"]}
    card = viewer.get(f"{address}/sources/drop/card/").json()
    assert (listed["drop"], set(listed)) == (card, set(Source.objects.values_list("slug", flat=True)))
    assert {each["name"]: each["value"] for each in card["figures"]} == {
        "pending": 0,
        "processed": 1,
        "last file": card["figures"][2]["value"],
    }
    assert (card["last_read"]["rows"], card["last_read"]["state"], card["changed_streams"]) == (30, "succeeded", 0)


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("name=INVOICES", {"a-rest"}),
        ("name=a-", {"a-rest", "a-kafka"}),
        ("connector=rest", {"a-rest"}),
        ("health=error", {"a-kafka"}),
        ("health=error&connector=rest", set()),
    ],
)
def test_a_long_list_is_narrowed(
    furnished: Furnished,  # noqa: F811
    client: Client,
    api: Api,
    query: str,
    fits: set[str],
) -> None:
    made(furnished.project, "rest", health="healthy")
    made(furnished.project, "kafka", health="error")
    Source.objects.filter(slug="a-rest").update(title="Invoices of the shop")
    page = client.get(f"/p/flights/sources/?{query}").content.decode()
    assert {each for each in Source.objects.values_list("slug", flat=True) if f'id="card-{each}"' in page} == fits
    assert ("No source fits these filters" in page) is (not fits) and "No source yet" not in page
    for place in ("sources", "cards"):
        answer = api(furnished.people["viewer"]).get(f"/api/v1/projects/flights/{place}/?{query}")
        assert {each["slug"] for each in answer.json()["results"]} == fits


def test_what_is_no_value_of_a_filter_fits_nothing(client: Client, api: Api, furnished: Furnished) -> None:  # noqa: F811
    assert "No source fits these filters" in client.get("/p/flights/sources/?health=good").content.decode()
    assert api(furnished.people["viewer"]).get("/api/v1/projects/flights/cards/?health=good").status_code == 400


@pytest.mark.parametrize("page", ["sources/", "sources/drop/", "history/", "connectors/", "new-source/"])
def test_pages_around_sources_stand_below_sources(client: Client, furnished: Furnished, page: str) -> None:  # noqa: F811
    client.force_login(furnished.people["admin"])
    text = client.get(f"/p/flights/{page}").content.decode()
    (line,) = [each for each in text.split("<a ") if 'class="nav-item"' in each and 'aria-current="page"' in each]
    assert 'href="/p/flights/sources/"' in line


def test_a_source_that_nothing_reads_says_how_to_go_on(client: Client) -> None:
    page = client.get("/p/flights/sources/db/impact/").content.decode()
    assert "Nothing depends on it" in page and 'href="/p/flights/sources/db/">To its streams<' in page
