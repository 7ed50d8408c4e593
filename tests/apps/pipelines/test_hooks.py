"""`/hooks/<id>`: signed messages start runs, once each; and who may open such a door."""

from __future__ import annotations

import ipaddress
import json
import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from standardwebhooks import Webhook

from apps.accounts import crypto
from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.pipelines import hooks, services
from apps.pipelines.models import Hook, HookMessage, HookSecret, Pipeline, Run
from tests.apps.pipelines.shelf import TEXT, stock
from tests.people import Api, quick, signed_in

pytestmark = pytest.mark.django_db
HOOKS = "/api/v1/projects/flights/pipelines/orders/hooks/"
BODY = '{"type": "order.created"}'


@pytest.fixture
def pipeline(project: Project) -> Pipeline:
    stock(project)
    return services.apply_document(project, TEXT, actor=SYSTEM, publish=True)


@pytest.fixture
def opened(pipeline: Pipeline) -> tuple[Hook, str]:
    return hooks.create_hook(pipeline, name="shop", actor=SYSTEM)


def send(hook: Hook, secret: str, *, message: str = "m1", late: timedelta = timedelta(), **change: str) -> Any:
    at = datetime.now(UTC) - late
    signed = Webhook(secret).sign(message, at, BODY)
    headers = {"webhook-id": message, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signed}
    body, address = change.pop("body", BODY), change.pop("address", "127.0.0.1")
    headers |= {f"webhook-{name}": value for name, value in change.items()}
    client = quick(Client(enforce_csrf_checks=True))
    place = f"/hooks/{hook.pk}"
    return client.post(place, body, content_type="application/json", headers=headers, REMOTE_ADDR=address)


def somewhere() -> str:
    """An address from which nobody else sends."""
    return str(ipaddress.IPv6Address(secrets.randbits(128)))


def test_it_works(opened: tuple[Hook, str]) -> None:
    answer = send(*opened)
    run = Run.objects.get()
    assert (answer.status_code, answer.json()) == (202, {"run": str(run.pk), "state": "running"})
    assert (run.trigger, run.actor_kind, run.actor_name) == ("webhook", "webhook", "orders/shop")
    assert Event.objects.get(verb="run created").actor_name == "orders/shop"


def test_the_same_message_again_starts_nothing(opened: tuple[Hook, str]) -> None:
    first, again = send(*opened), send(*opened)
    assert (again.status_code, again.json()["run"]) == (200, first.json()["run"])
    assert send(*opened, message="m2").status_code == 202
    assert Run.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_copies_at_once_start_one_run(opened: tuple[Hook, str]) -> None:
    answers: list[int] = []
    barrier = threading.Barrier(3)

    def deliver() -> None:
        try:
            barrier.wait(60)
            answers.append(send(*opened).status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [200, 200, 202]
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + " "},
        {"id": "m2"},
        {"signature": "v1,AAAA"},
        {"signature": "v1"},
        {"signature": "v1,a"},
        {"signature": ""},
        {"timestamp": "x"},
        {"late": timedelta(minutes=6)},
        {"late": timedelta(minutes=-6)},
        {"message": "x" * 151},
        {"message": "a b"},
    ],
    ids=str,
)
def test_a_message_that_is_not_signed_as_it_should_be_is_refused(
    opened: tuple[Hook, str], change: dict[str, Any]
) -> None:
    answer = send(*opened, **change)
    assert answer.status_code == 401, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not Run.objects.exists()
    assert not HookMessage.objects.exists()


def test_a_body_that_is_no_text_is_refused(opened: tuple[Hook, str]) -> None:
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(datetime.now(UTC).timestamp())),
        "webhook-signature": "v1,AA==",
    }
    answer = quick(Client()).post(f"/hooks/{opened[0].pk}", b"\xff", content_type="application/json", headers=headers)
    assert answer.status_code == 401 and "no text in UTF-8" in answer.json()["detail"]


def test_several_secrets_while_senders_change_over(opened: tuple[Hook, str]) -> None:
    hook, old = opened
    _, new = hooks.add_secret(hook, actor=SYSTEM)
    assert [send(hook, each, message=each[-5:]).status_code for each in (old, new)] == [202, 202]
    hooks.remove_secret(HookSecret.objects.earliest("id"), actor=SYSTEM)
    assert [send(hook, each, message=each[-6:]).status_code for each in (old, new)] == [401, 202]


def test_what_is_off_gone_or_unpublished(opened: tuple[Hook, str], project: Project) -> None:
    hook, secret = opened
    hooks.switch_hook(hook, enabled=False, actor=SYSTEM)
    assert send(hook, secret).status_code == 410
    hooks.delete_hook(hook, actor=SYSTEM)
    assert send(Hook(pk=opened[0].pk or HookSecret().pk), secret).status_code == 404
    draft = services.create_pipeline(project, "draft", actor=SYSTEM)
    hook, secret = hooks.create_hook(draft, name="shop", actor=SYSTEM)
    assert send(hook, secret).status_code == 409
    assert not HookMessage.objects.exists()
    assert quick(Client()).get(f"/hooks/{hook.pk}").status_code == 405


def test_a_secret_is_shown_once_and_nowhere_else(api: Api, admin: User, viewer: User, pipeline: Pipeline) -> None:
    client = api(admin)
    made = client.post(HOOKS, {"name": "shop"}).json()
    secret = made["secret"]
    assert made["address"] == f"/hooks/{made['id']}"
    answer = client.post(f"{HOOKS}{made['id']}/secrets/")
    assert answer.status_code == 201, answer.content
    more = answer.json()
    assert send(Hook.objects.get(), more["secret"]).status_code == 202
    shown = api(viewer).get(HOOKS)
    assert len(shown.json()["results"][0]["secrets"]) == 2
    assert [each["message_id"] for each in shown.json()["results"][0]["messages"]] == ["m1"]
    rows = [json.dumps(each, default=str) for model in (HookSecret, Event) for each in model.objects.values()]
    for text in (shown.content.decode(), *rows):
        assert secret not in text
        assert secret.removeprefix("whsec_") not in text
    assert client.delete(f"{HOOKS}{made['id']}/secrets/{more['id']}/").status_code == 204
    assert client.delete(f"{HOOKS}{made['id']}/secrets/{made['secrets'][0]['id']}/").status_code == 409
    assert client.patch(f"{HOOKS}{made['id']}/", {"enabled": False}).json()["enabled"] is False
    assert client.post(HOOKS, {"name": "shop"}).status_code == 409
    assert client.delete(f"{HOOKS}{made['id']}/").status_code == 204
    verbs = set(Event.objects.filter(project=pipeline.project_id).values_list("verb", flat=True))
    assert {"hook created", "hook changed", "hook deleted", "hook secret created", "hook secret deleted"} <= verbs


def test_secrets_follow_the_master_key(opened: tuple[Hook, str], settings: Any) -> None:
    old = settings.MASTER_KEY()
    new = old if old.startswith("1:") else f"1:{old}"
    settings.MASTER_KEY = lambda: f"2:{'B' * 43}=,{new}"
    call_command("rotate_credentials")
    assert HookSecret.objects.get().key_version == 2
    settings.MASTER_KEY = lambda: f"2:{'B' * 43}="
    assert send(*opened).status_code == 202
    assert crypto.provider().current() == 2


def test_the_page_adds_one_and_shows_its_secret_once(admin: User, viewer: User, pipeline: Pipeline) -> None:
    page = "/p/flights/pipelines/orders/hooks/"
    client = signed_in(admin)
    answer = client.post(page, {"do": "add", "name": "shop"})
    hook = Hook.objects.get()
    assert "whsec_" in answer.content.decode() and "no-store" in answer.headers["Cache-Control"]
    assert f"/hooks/{hook.pk}" in answer.content.decode()
    assert "whsec_" not in client.get(page).content.decode()
    assert "whsec_" in client.post(page, {"do": "secret", "hook": str(hook.pk)}).content.decode()
    client.post(page, {"do": "remove", "secret": str(HookSecret.objects.earliest("id").pk)})
    assert HookSecret.objects.count() == 1
    client.post(page, {"do": "off", "hook": str(hook.pk)})
    assert not Hook.objects.get().enabled
    assert client.post(page, {"do": "add", "name": ""}).status_code == 422
    assert client.post(page, {"do": "on", "hook": "none"}).status_code == 404
    client.post(page, {"do": "delete", "hook": str(hook.pk)})
    assert not Hook.objects.exists()
    client.force_login(viewer)
    assert client.get(page).status_code == 200
    assert client.post(page, {"do": "add", "name": "x"}).status_code == 403


@override_settings(HOOK_MESSAGES=2)
def test_too_many_messages_in_a_minute_wait(opened: tuple[Hook, str]) -> None:
    for message in ("m1", "m2"):
        assert send(*opened, message=message, address=somewhere()).status_code == 202
    refused = send(*opened, message="m3", address=somewhere())
    assert refused.status_code == 429
    assert "to this inbound trigger" in refused.json()["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert not HookMessage.objects.filter(message_id="m3").exists()
    assert Run.objects.count() == 2


@override_settings(HOOK_MESSAGES=2)
def test_messages_that_nobody_signed_are_slowed_down_by_address(opened: tuple[Hook, str], pipeline: Pipeline) -> None:
    hook, secret = opened
    address = somewhere()
    neighbour = str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(address)) ^ 1))
    gone = Hook(pk=HookSecret().pk)
    wrong = "whsec_" + "A" * 44
    answers = [send(hook, wrong, address=address), send(gone, wrong, address=neighbour)]
    answers += [send(hook, wrong, address=neighbour), send(gone, wrong, address=address)]
    assert [each.status_code for each in answers] == [401, 404, 429, 429]
    assert "without a right signature from your address" in answers[-1].json()["detail"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    # Somebody who signs rightly shares an address with them, and is heard; nor do good messages count there.
    other, its_secret = hooks.create_hook(pipeline, name="till", actor=SYSTEM)
    assert [send(other, its_secret, message=f"n{number}", address=address).status_code for number in range(2)] == [
        202
    ] * 2
    assert send(hook, secret, address=address).status_code == 202


@override_settings(HOOK_MESSAGES=1)
def test_a_stranger_does_not_use_up_what_the_sender_may_send(opened: tuple[Hook, str]) -> None:
    hook, secret = opened
    for _ in range(3):
        assert send(hook, "whsec_" + "A" * 44, address=somewhere()).status_code == 401
    assert send(hook, secret, address=somewhere()).status_code == 202
