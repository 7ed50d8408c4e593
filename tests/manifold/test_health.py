"""The health pages, the metrics and the system checks."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection
from django.test import Client, override_settings
from prometheus_client.parser import text_string_to_metric_families

from manifold import health, metrics, probes
from manifold.celery import app
from manifold.embedded import binaries, valkey
from tests.ports import own_port

pytestmark = pytest.mark.django_db


def states(answer: Any) -> dict[str, bool]:
    return {each["name"]: each["up"] for each in answer.json()["dependencies"]}


def test_it_lives_without_asking_anybody(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_it_can_serve(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert states(answer) == {"database": True, "migrations": True}
    assert all(each["seconds"] >= 0 for each in answer.json()["dependencies"])


def test_it_cannot_serve_with_old_tables(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert states(answer) == {"database": True, "migrations": False}


def test_every_dependency_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WORKER_ANSWERS_WITHIN", 0.1)
    answer = client.get("/startupz")
    assert answer.status_code == 503
    found = states(answer)
    assert not found.pop("workers"), "no worker runs in this test"
    found.pop("files")
    assert found == dict.fromkeys(found, True)
    assert "127.0.0.1" not in answer.content.decode()


def test_a_broker_that_is_down(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{own_port()}/0")
    finding = probes.ask("broker", probes.broker)
    assert not finding.up
    assert finding.remedy


def test_a_broker_that_may_forget_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of its own: the tests beside this one need theirs to be sound."""
    server = valkey.Valkey(tmp_path / "valkey", binaries.valkey_program(), own_port(), "secret", durable=False)
    running = server.start(subprocess.DEVNULL)
    try:
        server.wait_until_ready(running)
        monkeypatch.setenv("REDIS_URL", server.url)
        assert probes.ask("broker", probes.broker).up
        with redis.Redis.from_url(server.url) as broker:
            broker.config_set("maxmemory-policy", "allkeys-lru")
        finding = probes.ask("broker", probes.broker)
    finally:
        running.terminate()
        running.wait(60)
    assert not finding.up
    assert "noeviction" in finding.remedy


def test_nothing_is_asked_that_stands_on_what_was_waited_for_in_vain(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape ends before Prometheus gives it up, although packets to the broker are lost."""
    monkeypatch.setattr(health, "_LONG_SECONDS", 0)
    monkeypatch.setattr(health, "workers", lambda: pytest.fail("the workers were asked"))
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{own_port()}/0")
    found = {each.name: each for each in health.components()}
    assert found["workers"].detail == "Not asked, since the broker does not answer."
    monkeypatch.setattr(metrics, "broker_client", lambda _: pytest.fail("the queues were asked"))
    answer = client.get("/metrics")
    assert b'manifold_component_up{component="workers"} 0.0' in answer.content


@contextmanager
def answering(client: redis.Redis, names: list[str]) -> Iterator[None]:
    """Each takes a ping as a worker of this name does, one after the other."""
    over = threading.Event()
    with ExitStack() as opened:
        brokers = [opened.enter_context(app.connection_for_read()) for _ in names]
        for name, broker in zip(names, brokers, strict=True):
            node = app.control.mailbox(broker).Node(name, handlers={"ping": lambda _state: {"ok": "pong"}})
            node.listen(channel=broker.default_channel)

        def answer() -> None:
            while not over.is_set():
                for each in brokers:
                    with suppress(TimeoutError):
                        each.drain_events(timeout=0.01)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            number, deadline = str(brokers[0].virtual_host), time.monotonic() + 60
            while [each["db"] for each in client.client_list(_type="pubsub")].count(number) < len(names):
                assert time.monotonic() < deadline, "not all of them listen"
            yield
        finally:
            over.set()
            thread.join(60)


def test_a_worker_of_each_kind_is_asked_however_many_there_are(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WORKER_ANSWERS_WITHIN", 60)
    names = ["worker@a", "worker@b", "worker@c", "system@a"]
    with redis.Redis.from_url(redis_url) as client, answering(client, names):
        worker, system = sorted(health.workers().split(", "), reverse=True)
    assert worker in names[:3]
    assert system == "system@a"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/startupz", "/metrics"])
def test_only_reading_is_allowed(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


def test_metrics_are_what_prometheus_reads(client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WORKER_ANSWERS_WITHIN", 0.1)
    with redis.Redis.from_url(redis_url) as broker:
        broker.rpush("bulk", "a", "b")
        try:
            answer = client.get("/metrics")
        finally:
            broker.delete("bulk")
    families = {each.name: each for each in text_string_to_metric_families(answer.content.decode())}
    up = {sample.labels["component"]: bool(sample.value) for sample in families["manifold_component_up"].samples}
    assert set(up) == set(states(client.get("/startupz")))
    assert up["database"] and up["broker"] and up["storage"] and not up["workers"], "no worker runs in this test"
    waiting = {sample.labels["queue"]: sample.value for sample in families["manifold_queue_messages"].samples}
    assert waiting["bulk"] == 2
    assert {sample.labels["state"] for sample in families["manifold_runs"].samples} >= {"running", "failed"}


def test_metrics_without_a_broker(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WORKER_ANSWERS_WITHIN", 0.1)
    nobody = f"redis://127.0.0.1:{own_port()}/0"
    monkeypatch.setenv("REDIS_URL", nobody)
    with override_settings(CELERY_BROKER_URL=nobody):
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert b'manifold_component_up{component="broker"} 0.0' in answer.content
    assert b'manifold_component_up{component="database"} 1.0' in answer.content
    assert b"manifold_queue_messages{" not in answer.content


def test_every_answer_has_an_id_and_a_policy(client: Client) -> None:
    answer = client.get("/healthz")
    assert len(answer.headers["X-Request-ID"]) == 32
    assert "script-src 'self' 'unsafe-eval'" in answer.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"].split("style-src")[0]
    assert (
        client.get("/healthz", headers={"X-Request-ID": "from-the-proxy-1"}).headers["X-Request-ID"]
        == "from-the-proxy-1"
    )
    forged = client.get("/healthz", headers={"X-Request-ID": "a b\tc<script>"}).headers["X-Request-ID"]
    assert "<" not in forged


def test_the_checks_pass_here_and_name_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run_checks(tags=["manifold"], include_deployment_checks=True)
    monkeypatch.setenv("MANIFOLD_MASTER_KEY", "broken")
    monkeypatch.setenv("MANIFOLD_STORAGE_URL", "gopher://hole")
    wrong = {"LEASE_SECONDS": settings.HEARTBEAT_SECONDS, "OIDC_ISSUER": "https://login.example.org"}
    with override_settings(ALLOWED_HOSTS=["*"], **wrong):
        found = run_checks(tags=["manifold"], include_deployment_checks=True)
    assert {each.id for each in found} == {f"manifold.{each}" for each in ("E001", "E002", "W003", "E004", "E005")}
    assert all(each.hint for each in found)
