"""What lets a source in is renewed by itself: in time, when it is refused, once at a time, and never lost."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Project
from apps.audit.context import SYSTEM, acting
from apps.audit.models import Event
from apps.sources import services
from apps.sources.models import Grant, Health, Source, Stream
from apps.sources.services.grants import keep_grant, void_grant
from dataplane.connectors.windows import Mark
from dataplane.errors import ManifoldError, TransientError
from dataplane.oauth import Tokens, TokensRefused
from dataplane.patience import within
from tests.dataplane.connectors.graphql.api import PAGED, Server, refusing
from tests.dataplane.connectors.graphql.api import WAYS as QUERIES
from tests.dataplane.connectors.rest.api import Api
from tests.dataplane.connectors.rest.reading import WAYS
from tests.oauth_server import Authority


def connected(project: Project, connector: str, authority: Authority, **params: Any) -> Source:
    """A source that somebody has connected; the first refresh token is that of the authority's first answer."""
    given = {**params, **authority.params()}
    source = services.create_source(project, slug="shop", title="", connector=connector, params=given, actor=SYSTEM)
    told = authority.give()
    tokens = Tokens(told["access_token"], told.get("refresh_token", ""), authority.lasts, scope="orders.read")
    with acting(SYSTEM):
        keep_grant(source, tokens, actor=SYSTEM)
    return source


@pytest.fixture
def source(project: Project, shop: Api, authority: Authority) -> Source:
    return connected(project, "rest", authority, base_url=shop.base, streams=[WAYS["link"]], records="data.orders")


def ended(source: Source) -> None:
    """The token ends now."""
    Grant.objects.filter(source=source).update(token_ends_at=timezone.now())


def wait_until_blocked(pid: int) -> None:
    """Until the session of the database waits for another one's lock."""
    until = time.monotonic() + 60
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid])
            if cursor.fetchone()[0]:
                return
            time.sleep(0.02)
    raise AssertionError("nobody waits for the lock")


def read(source: Source) -> int | None:
    """How many rows a run would read of the first stream."""
    source = Source.objects.select_related("credential").get(pk=source.pk)
    if not source.streams.exists():
        services.discover_streams(source, actor=SYSTEM)
        services.update_stream(source.streams.get(name="orders"), config={"cursor": "at"}, actor=SYSTEM)
    connector, config = services.binding(Stream.objects.get(source=source, name="orders"))
    return connector.plan(config, "incremental", Mark()).rows


@pytest.mark.django_db
@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("how", ["ended", "refused"])
def test_it_is_renewed(source: Source, authority: Authority, how: str, *, rotates: bool) -> None:
    authority.rotates = rotates
    for _ in range(3):
        ended(source) if how == "ended" else authority.forget_access()
        assert read(source) == 7
    assert len(authority.asked) == 3 and not authority.reused
    grant = Grant.objects.get(source=source)
    assert grant.renewed_at and grant.token_ends_at and grant.token_ends_at > timezone.now()


@pytest.mark.django_db
def test_a_source_of_graphql_is_renewed_alike(project: Project, shop: Api, authority: Authority) -> None:
    server = Server(authority.web, admits=authority.admits)
    authority.web.bad["/graphql"] = server.answer
    source = connected(project, "graphql", authority, base_url=server.url, queries=PAGED, streams=QUERIES["nodes"])
    authority.forget_access()
    assert read(source) == 7 and not authority.reused


@pytest.mark.django_db
def test_a_read_outlives_its_token(source: Source, authority: Authority, shop: Api) -> None:
    asked = len(shop.asked)

    def before(number: int, request: Any) -> bool:
        if number > asked:
            authority.forget_access()
            shop.before = lambda number, request: False
        return False

    shop.before = before
    assert read(source) == 7 and len(authority.asked) == 1


@pytest.mark.django_db
def test_one_that_is_refused_turns_the_source_to_error(source: Source, authority: Authority) -> None:
    assert read(source) == 7
    authority.forget_all()
    for _ in range(2):
        with pytest.raises(ManifoldError) as caught:
            read(source)
        assert caught.value.code == "connect_again" and not caught.value.retryable
        # A run may read several sources: the error says which one, in words that can be pasted.
        assert caught.value.message.endswith("on the page of `shop`, or `manifold sources connect shop`.")
    assert len(authority.asked) == 1
    source.refresh_from_db()
    assert source.health == Health.ERROR and "Connect it again" in source.health_reason
    event = Event.objects.filter(verb="source health changed").latest("pk")
    assert (event.object_name, event.data["health"]) == ("shop", "error")


@pytest.mark.django_db
def test_one_without_a_refresh_token_warns_before_it_ends(project: Project, shop: Api, authority: Authority) -> None:
    authority.refreshes, authority.lasts = False, 86400.0
    source = connected(project, "rest", authority, base_url=shop.base, streams=[WAYS["page"]], records="data.orders")
    services.test_source(source, actor=SYSTEM)
    source.refresh_from_db()
    assert source.health == Health.WARNING and "nothing renews it: connect it again" in source.health_reason
    ended(source)
    with pytest.raises(ManifoldError) as caught:
        read(source)
    assert caught.value.code == "connect_again" and not authority.asked


@pytest.mark.django_db
def test_one_that_does_not_reach_for_a_stream_is_kept(source: Source, authority: Authority, shop: Api) -> None:
    def forbids(number: int, request: Any) -> bool:
        request.answer(403, b"{}")
        return True

    assert read(source) == 7
    shop.before = forbids
    with pytest.raises(ManifoldError) as caught:
        read(source)
    assert caught.value.code == "authentication" and not authority.asked
    assert Grant.objects.get(source=source).refused == ""


@pytest.mark.django_db
def test_a_server_of_tokens_that_is_away_loses_nothing(source: Source, authority: Authority) -> None:
    authority.says["refresh_token"] = (503, b"")
    ended(source)
    with pytest.raises(TransientError):
        read(source)
    authority.says.clear()
    assert read(source) == 7 and not authority.reused
    authority.says["refresh_token"] = (401, b'{"error": "invalid_client"}')
    ended(source)
    with pytest.raises(ManifoldError, match="Correct the client and its secret"):
        read(source)
    assert Grant.objects.get(source=source).refused == ""


@pytest.mark.django_db
@pytest.mark.parametrize("forgives", [True, False])
def test_an_answer_that_was_lost_is_asked_for_once_more(
    source: Source, authority: Authority, *, forgives: bool
) -> None:
    """As where a machine dies before the new tokens are stored: the token before is what there is."""
    authority.rotates, authority.loses = not forgives, True
    ended(source)
    with pytest.raises(ManifoldError):
        read(source)
    authority.loses = False
    if forgives:
        assert read(source) == 7 and Grant.objects.get(source=source).refused == ""
    else:
        with pytest.raises(ManifoldError, match="Connect it again") as caught:
            read(source)
        assert caught.value.code == "connect_again"


@pytest.mark.django_db
@pytest.mark.parametrize("error", ["refresh token refresh-1 is unknown", "refresh-1", ["refresh-1"]])
def test_an_error_that_repeats_a_secret_is_told_without_it(source: Source, authority: Authority, error: Any) -> None:
    authority.says["refresh_token"] = (400, json.dumps({"error": error}).encode())
    ended(source)
    with pytest.raises(TokensRefused) as caught:
        read(source)
    assert "refresh-1" not in json.dumps(caught.value.as_json()) and caught.value.said == ""


@pytest.mark.django_db(transaction=True)
def test_many_at_once_renew_it_once(source: Source, authority: Authority) -> None:
    ended(source)
    gate = threading.Barrier(6)
    found: list[Any] = []

    def ask() -> None:
        try:
            connector = services.connector_of(Source.objects.select_related("credential").get(pk=source.pk))
            assert connector.grant is not None
            gate.wait(60)
            found.append(connector.grant.token().text)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert found == ["access-2"] * 6
    assert len(authority.asked) == 1 and not authority.reused


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_renews_it_leaves_no_connection_behind(source: Source, authority: Authority) -> None:
    grant = services.connector_of(source).grant
    assert grant is not None

    def renewed() -> Any:
        grant.token(refused=grant.token().text)
        return connection.connection

    assert within(60, renewed) is None
    assert renewed() is not None
    assert len(authority.asked) == 2


@pytest.mark.django_db(transaction=True)
def test_one_that_is_refused_while_the_source_is_changed_holds_nobody_up(source: Source, authority: Authority) -> None:
    changing = threading.Event()
    failures: list[Exception] = []

    def change() -> None:
        try:
            with acting(SYSTEM):
                Source.objects.select_for_update().get(pk=source.pk)
                changing.set()
                void_grant(source)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    changer = threading.Thread(target=change)

    def before() -> None:
        changer.start()
        assert changing.wait(60)

    connector = services.connector_of(source)
    authority.forget_all()
    authority.before_token = before
    assert connector.grant is not None
    with pytest.raises(ManifoldError) as caught:
        connector.grant.token("access-1")
    changer.join(60)
    assert caught.value.code == "connect_again" and failures == [] and not Grant.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["disconnect", "delete"])
def test_whoever_takes_it_away_locks_the_source_first(source: Source, how: str) -> None:
    told: list[int] = []
    begun = threading.Event()

    def take_away() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            told.append(cursor.fetchone()[0])
        begun.set()
        try:
            if how == "disconnect":
                services.disconnect(source, actor=SYSTEM)
            else:
                services.delete_source(source, actor=SYSTEM, used_by=[])
        finally:
            connection.close()

    taker = threading.Thread(target=take_away)
    with acting(SYSTEM):
        Source.objects.select_for_update().get(pk=source.pk)
        taker.start()
        assert begun.wait(60)
        wait_until_blocked(told[0])
        assert Grant.objects.select_for_update(nowait=True).get(source=source)
    taker.join(60)
    assert not Grant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_new_tokens_are_stored_before_they_are_used(source: Source, authority: Authority, shop: Api) -> None:
    stored: list[str] = []

    def before(number: int, request: Any) -> bool:
        with suppress(Grant.DoesNotExist):
            stored.append(services.connector_of(Source.objects.get(pk=source.pk)).grant.token().text)  # type: ignore[union-attr]
        connection.close()
        return False

    ended(source)
    shop.before = before
    check = services.test_source(source, actor=SYSTEM)
    assert check.ok and set(stored) == {"access-2"} and len(authority.asked) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("change", ["base_url", "token_url"])
def test_what_is_consented_to_anew_is_not_told_to_whom_it_was_before(
    source: Source, authority: Authority, shop: Api, change: str
) -> None:
    before = services.connector_of(source)
    elsewhere = "https://elsewhere.example/v1"
    changed = services.update_source(source, params={change: elsewhere}, actor=SYSTEM)
    with acting(SYSTEM):
        keep_grant(changed, Tokens("for elsewhere", "refresh for elsewhere", 3600), actor=SYSTEM)
    late = services.connector_of(source)
    for each in (before, late):
        assert each.grant is not None
        with pytest.raises(ManifoldError) as caught:
            each.grant.token("access-1")
        assert caught.value.code == "source_changed" and not caught.value.retryable
    ended(source)
    with pytest.raises(ManifoldError, match="connected anew"):
        late.grant.token()  # type: ignore[union-attr]
    assert authority.asked == [] and Grant.objects.get(source=source).refused == ""
    assert services.connector_of(changed).grant is not None


@pytest.mark.django_db
def test_the_master_key_is_changed(source: Source, authority: Authority, settings: Any) -> None:
    old = settings.MASTER_KEY()
    settings.MASTER_KEY = lambda: "9:" + "A" * 43 + "=," + old
    assert services.rotate_credentials(actor=SYSTEM) >= 2
    settings.MASTER_KEY = lambda: "9:" + "A" * 43 + "="
    ended(source)
    assert read(source) == 7


@pytest.mark.django_db
def test_what_ends_is_known_by_what_was_told(source: Source, authority: Authority) -> None:
    with acting(SYSTEM):
        grant = keep_grant(source, Tokens("a", "r", 60, refresh_lasts=86400), actor=SYSTEM)
    assert grant.ends_at and timedelta(hours=23) < grant.ends_at - timezone.now() <= timedelta(hours=24)
    with acting(SYSTEM):
        assert keep_grant(source, Tokens("a", "r", 60), actor=SYSTEM).ends_at is None


@pytest.mark.django_db
@pytest.mark.parametrize(("code", "asked"), [("FORBIDDEN", 0), ("UNAUTHENTICATED", 1)])
def test_graphql_tells_what_may_not_be_read_from_who_is_not_let_in(
    project: Project, authority: Authority, code: str, asked: int
) -> None:
    server = Server(authority.web)
    authority.web.bad["/graphql"] = server.answer
    source = connected(project, "graphql", authority, base_url=server.url, queries=PAGED, streams=QUERIES["nodes"])
    assert read(source) == 7

    def refuses(number: int, request: Any) -> bool:
        request.answer(200, refusing("No", code))
        return True

    server.before = refuses
    with pytest.raises(ManifoldError) as caught:
        read(source)
    assert caught.value.code == "authentication" and len(authority.asked) == asked
