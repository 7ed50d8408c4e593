"""Inbound webhooks: taken when signed, durable before they are acknowledged, read once each, removed when loaded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from standardwebhooks import Webhook

from apps.accounts.models import Project, User
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.pipelines import freshness, inboxes, services
from apps.snapshots.models import Dataset, Snapshot
from apps.sources import services as sources
from apps.sources.models import InboxEvent, Source
from apps.sources.parameters import InvalidFields
from apps.sources.services import inbox
from dataplane.connectors.streams.inbox import Standing
from tests.apps.pipelines import workshop as ws
from tests.mortal import Mortals, mortals
from tests.people import Api, quick, signed_in

TEXT = """
manifold: 1
pipeline: payments
steps:
  events: {extract: {source: shop, stream: events, mode: incremental}}
  kept: {load: {input: events, dataset: payments}}
"""
API = "/api/v1/projects/flights/sources/shop/"


@pytest.fixture
def shop(project: Project, workshop: object) -> tuple[Source, str]:
    """A source with its secret."""
    made = sources.create_source(project, slug="shop", title="", connector="webhooks", params={}, actor=ws.ACTOR)
    secret = sources.rotate_secret(made, actor=ws.ACTOR)
    made.refresh_from_db()
    return made, secret


def send(source: Source, secret: str, body: object, *, named: str = "", late: timedelta = timedelta()) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    at = datetime.now(UTC) - late
    named = named or f"event-{InboxEvent.objects.count()}"
    headers = {
        "webhook-id": named,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(named, at, text),
    }
    client = quick(Client(enforce_csrf_checks=True))
    return client.post(f"/in/{source.pk}", text, content_type="application/json", headers=headers)


def published(project: Project, source: Source) -> Any:
    sources.discover_streams(source, actor=ws.ACTOR)
    return ws.published(project, TEXT)


def numbers(project: Project) -> list[int]:
    return sorted(int(n) for (n,) in ws.rows(project, "payments", "n").elements())


def test_it_works(project: Project, shop: tuple[Source, str]):
    assert [send(*shop, {"n": n}).status_code for n in range(3)] == [202, 202, 202]
    pipeline = published(project, shop[0])
    assert ws.run(pipeline).state == "succeeded"
    assert numbers(project) == [0, 1, 2]
    assert ws.run(pipeline).state == "skipped"
    send(*shop, {"n": 3})
    assert ws.run(pipeline).state == "succeeded"
    assert numbers(project) == [0, 1, 2, 3]
    assert ws.rows(project, "payments", "_id, _offset")[("event-0", 1)] == 1


def test_an_event_that_comes_again_is_known(shop: tuple[Source, str]):
    assert send(*shop, {"n": 1}, named="one").json() == {"taken": True}
    again = send(*shop, {"n": 1}, named="one")
    assert (again.status_code, again.json()) == (200, {"taken": False})
    assert InboxEvent.objects.count() == 1


def test_what_is_not_rightly_signed_is_not_taken(shop: tuple[Source, str]):
    source, secret = shop
    other = "whsec_" + "A" * 44
    assert send(source, other, {"n": 1}).status_code == 401
    assert send(source, secret, {"n": 1}, late=timedelta(minutes=6)).status_code == 401
    assert send(source, secret, {"n": 1}, late=timedelta(minutes=-6)).status_code == 401
    assert quick(Client()).post(f"/in/{source.pk}", "{}", content_type="application/json").status_code == 401
    assert quick(Client()).post(f"/in/{source.project_id}", "{}", content_type="application/json").status_code == 404
    assert quick(Client()).get(f"/in/{source.pk}").status_code == 405
    assert not InboxEvent.objects.exists()


def test_secrets_are_changed_over_without_a_gap(shop: tuple[Source, str]):
    source, old = shop
    new = sources.rotate_secret(source, actor=ws.ACTOR)
    source.refresh_from_db()
    assert [send(source, each, {}).status_code for each in (old, new)] == [202, 202]
    with pytest.raises(Conflict, match="Two secrets hold already") as refused:
        sources.rotate_secret(source, actor=ws.ACTOR)
    assert refused.value.code == "too_many_secrets"
    assert [send(source, each, {}).status_code for each in (old, new)] == [202, 202]
    sources.drop_previous_secret(source, actor=ws.ACTOR)
    assert [send(source, each, {}).status_code for each in (old, new)] == [401, 202]
    with pytest.raises(Conflict):
        sources.drop_previous_secret(source, actor=ws.ACTOR)
    assert new not in str(list(Event.objects.values_list("data", flat=True)))


def test_a_secret_of_the_senders_own_is_checked_when_it_is_entered(shop: tuple[Source, str]):
    with pytest.raises(InvalidFields, match="secret"):
        sources.update_source(shop[0], params={"secret": "whsec_short"}, actor=ws.ACTOR)
    own = "whsec_" + "QUJD" * 8
    changed = sources.update_source(shop[0], params={"secret": own}, actor=ws.ACTOR)
    assert send(changed, own, {}).status_code == 202


def test_an_event_that_is_too_long_or_one_too_many_is_refused(shop: tuple[Source, str]):
    source, secret = shop
    assert send(source, secret, "x" * (257 * 1024)).status_code == 413
    with override_settings(INBOX_EVENTS=1):
        assert send(source, secret, {}).status_code == 202
        refused = send(source, secret, {})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60


def test_an_inbox_that_is_full_takes_no_more_and_its_source_warns(shop: tuple[Source, str]):
    source, secret = shop
    with override_settings(INBOX_KEPT=5):
        assert [send(source, secret, {}).status_code for _ in range(3)] == [202] * 3
        assert sources.test_source(source, actor=ws.ACTOR).ok
        assert Source.objects.get().health == "healthy"
        assert [send(source, secret, {}).status_code for _ in range(2)] == [202] * 2
        refused = send(source, secret, {}, named="sixth")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "300")
        assert "keeps 5 events" in refused.content.decode()
        assert send(source, secret, {}, named="event-0").status_code == 200
        sources.test_source(source, actor=ws.ACTOR)
        warned = Source.objects.get()
        assert warned.health == "warning"
        assert "It keeps 5 events" in warned.health_reason and "MANIFOLD_INBOX_KEPT" in warned.health_reason
        sources.prune_events(source, loaded=1, before=timezone.now() + timedelta(days=1))
        assert send(source, secret, {}, named="sixth").status_code == 202


def test_a_source_that_has_no_secret_yet_is_warned_of(project: Project, workshop: object, admin: User):
    made = sources.create_source(project, slug="shop", title="", connector="webhooks", params={}, actor=ws.ACTOR)
    assert sources.test_source(made, actor=ws.ACTOR).ok
    warned = Source.objects.get()
    assert warned.health == "warning"
    assert "It receives nothing yet: no secret is set" in warned.health_reason
    assert "Make a new secret" in warned.health_reason
    page = signed_in(admin).get("/p/flights/sources/shop/").content.decode()
    assert page.count("callout warn") == 1, "it is told once"
    sources.rotate_secret(warned, actor=ws.ACTOR)
    sources.test_source(Source.objects.get(), actor=ws.ACTOR)
    assert (Source.objects.get().health, Source.objects.get().health_reason) == ("healthy", "")


def test_events_that_come_together_have_positions_without_a_gap(shop: tuple[Source, str]):
    """Whoever reads up to a position has every event before it: positions follow the order of commits."""
    answers: list[int] = []

    def some(worker: int) -> None:
        try:
            answers.extend(send(*shop, {"n": worker}, named=f"{worker}-{n % 6}").status_code for n in range(8))
        finally:
            connection.close()

    workers = [threading.Thread(target=some, args=(n,)) for n in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert sorted(answers) == [200] * 8 + [202] * 24
    assert sorted(InboxEvent.objects.values_list("position", flat=True)) == list(range(1, 25))


def test_large_events_are_taken_few_at_once(shop: tuple[Source, str], monkeypatch: pytest.MonkeyPatch):
    """A batch ends with the event that makes it large; one that alone is larger is a batch, too."""
    monkeypatch.setattr(inbox, "MOST_BYTES", 1_000)
    sizes = [100] * 5 + [600] * 4 + [5_000, 10, 10]
    made = [
        InboxEvent(source=shop[0], position=place + 3, message_id=str(place), body=b"x" * size)
        for place, size in enumerate(sizes)
    ]
    InboxEvent.objects.bulk_create(made)
    kept = inbox.Kept(shop[0].pk, Standing(2, 14))
    found, lower = [], 0
    while batch := kept.events(lower, 14, 4):
        found.append([len(each.body) for each in batch])
        lower = batch[-1].position
    assert found == [[100] * 4, [100, 600, 600], [600, 600], [5_000], [10, 10]]
    assert [each.position for each in kept.events(4, 6, 9)] == [5, 6]


def test_a_pipeline_begins_with_a_time(project: Project, shop: tuple[Source, str]):
    for n in range(3):
        send(*shop, {"n": n})
    InboxEvent.objects.filter(position__lt=3).update(received_at=datetime(2026, 1, 1, tzinfo=UTC))
    sources.update_source(shop[0], params={"begin": "time", "begin_at": "2026-01-01T00:00:01Z"}, actor=ws.ACTOR)
    pipeline = published(project, shop[0])
    first = ws.run(pipeline)
    assert "First read, from 2026-01-01T00:00:01+00:00 on: 1 message of" in first.mode_reason
    assert numbers(project) == [2]
    assert ws.run(pipeline, "seed").state == "succeeded"
    assert numbers(project) == [0, 1, 2]


def test_what_is_loaded_becomes_late_while_no_event_comes(project: Project, shop: tuple[Source, str]):
    """However often its pipeline runs."""
    send(*shop, {"n": 1})
    pipeline = published(project, shop[0])
    ws.run(pipeline)
    dataset = Dataset.objects.get(slug="payments")
    freshness.expect(dataset, {"max_age": 3600, "grace": 60}, actor=ws.ACTOR)
    Snapshot.objects.update(created_at=timezone.now() - timedelta(seconds=3601))
    assert ws.run(pipeline).state == "skipped"
    freshness.watch()
    assert Event.objects.filter(verb="dataset late", object_name="payments").count() == 1
    send(*shop, {"n": 2})
    assert ws.run(pipeline).state == "succeeded"
    freshness.watch()
    assert Event.objects.filter(verb="dataset fresh", object_name="payments").count() == 1


def test_what_says_nothing_readable_is_set_aside(project: Project, shop: tuple[Source, str]):
    send(*shop, {"n": 1})
    pipeline = published(project, shop[0])
    send(*shop, "hello", named="odd")
    run = ws.run(pipeline)
    assert run.state == "succeeded", ws.error_of(run)
    assert (numbers(project), ws.output(run, "events")["rejected"]) == ([1], 1)
    assert ws.rows(project, "payments.rejected", "file, row, reason") == {("events, odd", 2, "it is no JSON object"): 1}


def test_old_events_go_when_every_reader_has_loaded_them(project: Project, shop: tuple[Source, str]):
    source, _ = shop
    for n in range(3):
        send(*shop, {"n": n})
    InboxEvent.objects.update(received_at=timezone.now() - timedelta(days=8))
    assert inboxes.prune_source(source) == 0
    pipeline = published(project, source)
    ws.published(project, TEXT.replace("payments", "others"))
    ws.run(pipeline)
    assert inboxes.prune_source(source) == 0
    other = project.pipelines.get(slug="others")
    assert ws.run_cut_off(other, "kept").state == "cancelled"
    assert inboxes.prune_source(source) == 0
    assert ws.run(other).state == "succeeded"
    send(*shop, {"n": 3})
    inboxes.prune()
    assert list(InboxEvent.objects.values_list("position", flat=True)) == [4]
    assert (ws.run(pipeline).state, numbers(project)) == ("succeeded", [0, 1, 2, 3])
    assert ws.run(pipeline).state == "skipped"


def test_the_api_tells_what_came_and_how_far_it_was_loaded(
    project: Project, shop: tuple[Source, str], admin: User, operator: User, api: Api
):
    send(*shop, {"n": 1}, named="first")
    pipeline = published(project, shop[0])
    ws.run(pipeline)
    send(*shop, {"n": 2})
    shown = api(operator).get(API + "inbox/").json()
    assert (shown["secrets"], shown["received"], shown["kept"]) == (1, 2, 2)
    assert shown["address"] == f"/in/{shop[0].pk}"
    assert [each["message_id"] for each in shown["events"]] == ["event-1", "first"]
    lag = api(operator).get(API + "streams/events/lag/").json()
    (reader,) = lag["readers"]
    assert (lag["messages"], reader["behind"], reader["gone"]) == (2, 1, 0)
    assert reader["partitions"] == [{"partition": "", "upper": "1", "behind": 1}]
    came = InboxEvent.objects.get(position=2).received_at
    assert datetime.fromisoformat(reader["waiting_since"]) == came
    ws.run(pipeline)
    (reader,) = api(operator).get(API + "streams/events/lag/").json()["readers"]
    assert (reader["behind"], reader["waiting_since"]) == (0, None)
    made = api(admin).post(API + "inbox/secret/")
    assert made.status_code == 201
    assert send(shop[0], made.json()["secret"], {}).status_code == 202
    assert api(admin).delete(API + "inbox/secret/").status_code == 204
    assert api(admin).delete(API + "inbox/secret/").status_code == 409


def test_the_page_shows_the_address_and_a_secret_once(project: Project, shop: tuple[Source, str], admin: User):
    send(*shop, {"n": 1}, named="first")
    published(project, shop[0])
    client = signed_in(admin)
    page = client.get("/p/flights/sources/shop/").content.decode()
    assert f"/in/{shop[0].pk}" in page and "first" in page and shop[1] not in page
    made = client.post("/p/flights/sources/shop/inbox/", {"do": "rotate"})
    assert "whsec_" in made.content.decode() and "no-store" in made.headers["Cache-Control"]
    page = client.get("/p/flights/sources/shop/").content.decode()
    assert "whsec_" not in page and "Make a new secret" not in page and "Refuse the one before" in page
    client.post("/p/flights/sources/shop/inbox/", {"do": "rotate"})
    assert send(*shop, {"n": 2}).status_code == 202
    assert client.post("/p/flights/sources/shop/inbox/", {"do": "drop"}).status_code == 302
    client.post("/p/flights/sources/shop/inbox/", {"do": "anything"})
    assert Source.objects.get().credential.secrets.keys() == {"secret"}  # type: ignore[union-attr]
    assert send(*shop, {"n": 3}).status_code == 401
    stream = shop[0].streams.get()
    lag = client.get(f"/p/flights/sources/shop/streams/{stream.pk}/lag/").content.decode()
    assert "holds 2 messages now" in lag


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Mortals]:
    with mortals(tmp_path_factory.mktemp("events")) as found:
        yield found


@pytest.mark.all
def test_whoever_dies_each_event_comes_once(project: Project, shop: tuple[Source, str], mortal: Mortals):
    """kill -9 in plan, extract and load, while events come in."""
    sent = 1
    send(*shop, {"n": 1})
    pipeline = published(project, shop[0])
    for place in ("plan in_commit", "events part_1", "events in_commit", "kept in_commit", "kept committed"):
        send(*shop, {"n": (sent := sent + 1)})
        services.start_run(pipeline, actor=ws.ACTOR)
        ws.killed(mortal, *place.split())
        send(*shop, {"n": (sent := sent + 1)})
        ws.work()
    ws.run(pipeline)
    assert numbers(project) == list(range(1, sent + 1))
