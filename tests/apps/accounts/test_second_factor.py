"""The second factor: real codes, each once; recovery codes, each once; locks; who may change it and how."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts import services, totp
from apps.accounts.models import Project, Role, SecondFactor, Session, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.audit.refusals import Busy, Invalid
from tests.people import PASSWORD, Api, quick

pytestmark = pytest.mark.django_db

HERE = "203.0.113.7"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The half minute that the codes are of, moved by hand: a test that began at :59 must not end another way."""

    class Clock:
        now = float(int(time.time()) // totp.STEP * totp.STEP + 10)

        def time(self) -> float:
            return self.now

        def tick(self, steps: int = 1) -> None:
            self.now += steps * totp.STEP

    clock = Clock()
    monkeypatch.setattr(totp, "time", clock)
    return clock


@pytest.fixture
def bob() -> User:
    return services.create_user(username="bob", password=PASSWORD, actor=SYSTEM)


def code_now(secret: str, clock: Any) -> str:
    return totp.code_at(secret, int(clock.now) // totp.STEP)


def with_factor(user: User, clock: Any) -> tuple[str, list[str]]:
    """The secret and the recovery codes of somebody who has set theirs up a while ago."""
    secret = services.offered(services.offer(user, actor=SYSTEM))
    codes = services.confirm(user, code=code_now(secret, clock), keep_session=None, actor=SYSTEM)
    clock.tick(2)
    return secret, codes


def password_shown() -> Client:
    client = quick(Client(REMOTE_ADDR=HERE))
    answer = client.post("/login/?next=/account/", {"username": "bob", "password": PASSWORD, "next": "/account/"})
    assert answer.status_code == 302
    return client


def show(client: Client, code: str) -> Any:
    return client.post("/login/code/", {"code": code})


def test_it_works(bob: User, clock: Any) -> None:
    client = password_shown()
    assert client.get("/account/second-factor/").status_code == 200
    assert client.post("/account/second-factor/", {"do": "offer"}).status_code == 302
    page = client.get("/account/second-factor/").content.decode()
    assert "<svg" in page
    found = re.search(r'id="factor-key">([A-Z2-7 ]+)<', page)
    assert found is not None
    secret = found.group(1).replace(" ", "")
    done = client.post("/account/second-factor/", {"do": "confirm", "code": code_now(secret, clock)})
    assert len(re.findall(r"\b[a-z2-9]{6}-[a-z2-9]{6}\b", done.content.decode())) >= services.factors.RECOVERY_CODES
    assert secret[:4] not in client.get("/account/second-factor/").content.decode()

    clock.tick()
    again = password_shown()
    assert again.get("/account/").status_code == 302
    assert "_auth_user_id" not in again.session
    assert "Your code" in again.get("/login/code/").content.decode()
    answer = show(again, code_now(secret, clock))
    assert answer.headers["Location"] == "/account/"
    assert again.get("/account/").status_code == 200
    event = Event.objects.filter(verb="signed in").latest("id")
    assert event.data == {"address": HERE, "second_factor": "code"}


def test_published_codes() -> None:
    """RFC 6238, appendix B, the last six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, code in [(59, "287082"), (1111111109, "081804"), (2000000000, "279037"), (20000000000, "353130")]:
        assert totp.code_at(secret, seconds // 30) == code


def test_a_code_is_taken_once(bob: User, clock: Any) -> None:
    secret, _ = with_factor(bob, clock)
    code = code_now(secret, clock)
    assert show(password_shown(), code).status_code == 302
    replayed = show(password_shown(), code)
    assert (replayed.status_code, "taken once" in replayed.content.decode()) == (422, True)
    # Nor is the one before it, which came in late.
    assert show(password_shown(), totp.code_at(secret, int(clock.now) // 30 - 1)).status_code == 422


@pytest.mark.parametrize(("off", "status"), [(-2, 422), (-1, 302), (0, 302), (1, 302), (2, 422)])
def test_clocks_may_differ_by_half_a_minute(bob: User, clock: Any, off: int, status: int) -> None:
    secret, _ = with_factor(bob, clock)
    assert show(password_shown(), totp.code_at(secret, int(clock.now) // 30 + off)).status_code == status


def test_a_recovery_code_opens_once(bob: User, clock: Any) -> None:
    _, codes = with_factor(bob, clock)
    assert show(password_shown(), codes[3].upper().replace("-", " ")).status_code == 302
    assert show(password_shown(), codes[3]).status_code == 422
    assert show(password_shown(), codes[4]).status_code == 302
    left = APIClient()
    left.force_authenticate(bob)
    assert left.get("/api/v1/me/second-factor/").json()["recovery_codes"] == 8
    event = Event.objects.filter(verb="second factor changed", actor_name="bob").latest("id")
    assert event.after == {"recovery": "changed"}


def test_new_recovery_codes_make_the_old_ones_useless(bob: User, clock: Any) -> None:
    _, codes = with_factor(bob, clock)
    client = password_shown()
    show(client, codes[0])
    assert client.post("/account/second-factor/", {"do": "renew", "code": codes[1]}).status_code == 200
    assert show(password_shown(), codes[2]).status_code == 422


def test_wrong_codes_lock_a_person_out_for_a_while(bob: User, clock: Any, api: Api, superuser: User) -> None:
    secret, codes = with_factor(bob, clock)
    client = password_shown()
    assert [show(client, "000000").status_code for _ in range(6)] == [422] * 4 + [429] * 2
    assert show(client, code_now(secret, clock)).status_code == 429
    assert show(password_shown(), codes[0]).status_code == 429
    locked = Event.objects.get(verb="second factor locked")
    assert (locked.object_name, locked.data) == ("bob", {"address": HERE, "minutes": 15})
    (shown,) = api(superuser).get("/api/v1/users/bob/").json()["locks"]
    assert shown["address"] == ""
    api(superuser).post("/api/v1/users/bob/unlock/")
    assert show(client, code_now(secret, clock)).status_code == 302


def test_a_lock_ends_by_itself(bob: User, clock: Any) -> None:
    secret, _ = with_factor(bob, clock)
    SecondFactor.objects.update(locked_until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(Busy):
        services.check_code(bob, code=code_now(secret, clock), address=HERE)
    SecondFactor.objects.update(locked_until=timezone.now() - timedelta(seconds=1))
    assert services.check_code(bob, code=code_now(secret, clock), address=HERE) == "code"


def test_between_password_and_code_nothing_is_open(bob: User, clock: Any) -> None:
    with_factor(bob, clock)
    client = password_shown()
    for address in ("/account/", "/account/second-factor/", "/platform/people/", "/flower/"):
        assert client.get(address).headers["Location"].startswith("/login/"), address
    assert client.get("/api/v1/me/").status_code == 401


def test_the_wait_for_a_code_ends(bob: User, clock: Any) -> None:
    secret, codes = with_factor(bob, clock)
    late, changed, away = password_shown(), password_shown(), password_shown()
    half = late.session
    half["half_signed_in"] = half["half_signed_in"] | {"at": int(time.time()) - 301}
    half.save()
    assert show(late, code_now(secret, clock)).headers["Location"] == "/login/"
    services.remove_factor(bob, actor=SYSTEM)
    assert show(away, codes[0]).headers["Location"] == "/login/"
    with_factor(bob, clock)
    services.change_password(bob, password="another-long-passphrase", actor=SYSTEM)
    assert show(changed, codes[0]).headers["Location"] == "/login/"
    assert not Session.objects.filter(user=bob).exists()


def test_setting_up_ends_the_other_sessions_and_asks_for_a_right_code(bob: User, clock: Any) -> None:
    here, there = password_shown(), password_shown()
    here.post("/account/second-factor/", {"do": "offer"})
    assert here.post("/account/second-factor/", {"do": "confirm", "code": "000000"}).status_code == 422
    assert there.get("/account/").status_code == 200
    factor = services.factor_of(bob)
    assert factor is not None
    # What is being set up is shown in no other session, and cannot be confirmed there.
    assert "factor-key" not in there.get("/account/second-factor/").content.decode()
    right = {"do": "confirm", "code": code_now(services.offered(factor), clock)}
    assert there.post("/account/second-factor/", right).status_code == 422
    assert here.post("/account/second-factor/", right).status_code == 200
    assert [each.get("/account/").status_code for each in (here, there)] == [200, 302]


def test_whoever_signed_in_a_while_ago_shows_the_password(bob: User) -> None:
    client = password_shown()
    session = client.session
    session["began_at"] = int(time.time()) - 601
    session.save()
    assert "f-password" in client.get("/account/second-factor/").content.decode()
    assert client.post("/account/second-factor/", {"do": "offer", "password": "guess"}).status_code == 422
    assert client.post("/account/second-factor/", {"do": "offer", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize("do", ["offer", "renew", "remove"])
def test_what_is_on_changes_only_with_a_code(bob: User, clock: Any, do: str) -> None:
    secret, codes = with_factor(bob, clock)
    client = password_shown()
    show(client, codes[0])
    assert client.post("/account/second-factor/", {"do": do, "password": PASSWORD}).status_code == 422
    right = client.post("/account/second-factor/", {"do": do, "code": code_now(secret, clock)})
    assert right.status_code == (200 if do == "renew" else 302)


def test_switched_off_the_password_is_enough(bob: User, clock: Any) -> None:
    _, codes = with_factor(bob, clock)
    client = password_shown()
    show(client, codes[0])
    client.post("/account/second-factor/", {"do": "remove", "code": codes[1]})
    assert client.get("/account/").status_code == 200
    assert password_shown().get("/account/").status_code == 200


def test_a_superuser_takes_it_away(bob: User, clock: Any, api: Api, superuser: User) -> None:
    _, codes = with_factor(bob, clock)
    client = password_shown()
    show(client, codes[0])
    assert api(superuser).get("/api/v1/users/bob/").json()["second_factor"] is True
    assert api(superuser).delete("/api/v1/users/bob/second-factor/").status_code == 204
    assert api(superuser).delete("/api/v1/users/bob/second-factor/").status_code == 409
    assert client.get("/account/").status_code == 302
    assert password_shown().get("/account/").status_code == 200
    event = Event.objects.get(verb="second factor deleted")
    assert (event.actor_name, event.object_name) == ("root", "bob")


def test_nobody_takes_away_their_own_without_a_code(bob: User, clock: Any, api: Api, superuser: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_superuser=True)
    _, codes = with_factor(bob, clock)
    client = password_shown()
    show(client, codes[0])
    token = services.issue_token(bob, name="t", actor=SYSTEM)[1]
    with_token = quick(APIClient()).delete(
        "/api/v1/users/bob/second-factor/", headers={"Authorization": f"Bearer {token}"}
    )
    assert (with_token.status_code, with_token.json()["code"]) == (409, "own_second_factor")
    assert api(User.objects.get(pk=bob.pk)).delete("/api/v1/users/bob/second-factor/").status_code == 409
    client.post("/platform/people/bob/second-factor/remove/")
    assert "Yours goes under your account, with a code" in client.get("/platform/people/").content.decode()
    assert services.factor_of(bob) is not None
    assert "/platform/people/bob/second-factor/remove/" not in client.get("/platform/people/").content.decode()
    # With a recovery code it goes, and another superuser needs none.
    assert client.post("/account/second-factor/", {"do": "remove", "code": codes[1]}).status_code == 302
    with_factor(bob, clock)
    assert api(superuser).delete("/api/v1/users/bob/second-factor/").status_code == 204


def test_the_last_way_back_is_on_the_machine_itself(bob: User, clock: Any) -> None:
    with_factor(bob, clock)
    password_shown()
    call_command("remove_factor", "bob")
    assert password_shown().get("/account/").status_code == 200
    assert Event.objects.get(verb="second factor deleted").actor_name == "remove_factor"
    for name, said in (("bob", "bob has no second factor"), ("nobody", "There is no user `nobody`")):
        with pytest.raises(CommandError, match=said):
            call_command("remove_factor", name)


def test_where_everybody_needs_one_it_comes_before_anything_else(bob: User, clock: Any, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    client = password_shown()
    for address in ("/", "/account/", "/admin/", "/nowhere/", "/login/"):
        assert client.get(address).headers["Location"] == "/account/second-factor/", address
    assert client.get("/account/", headers={"HX-Request": "true"}).headers["HX-Redirect"] == "/account/second-factor/"
    refused = client.get("/api/v1/me/")
    assert (refused.status_code, "second factor" in refused.json()["detail"]) == (403, True)
    # A made-up header is no way around it.
    assert client.get("/account/", headers={"Authorization": "Bearer x"}).status_code == 302
    assert "Everybody needs" in client.get("/account/second-factor/").content.decode()
    client.post("/account/second-factor/", {"do": "offer"})
    factor = services.factor_of(bob)
    assert factor is not None
    code = code_now(services.offered(factor), clock)
    done = client.post("/account/second-factor/", {"do": "confirm", "code": code})
    assert client.get("/account/").status_code == 200
    recovery = re.findall(r"\b[a-z2-9]{6}-[a-z2-9]{6}\b", done.content.decode())
    kept = client.post("/account/second-factor/", {"do": "remove", "code": recovery[0]})
    assert (kept.status_code, "Set up another" in kept.content.decode()) == (422, True)
    assert quick(Client()).get("/login/").status_code == 200


def test_afterwards_one_is_where_one_was_going(bob: User, clock: Any, settings: Any, project: Project) -> None:
    _, text = services.invite(project, name="Bob", role=Role.VIEWER, actor=SYSTEM)
    settings.REQUIRE_MFA = True
    client = password_shown()
    assert client.get(f"/join/{text}/?x=1").headers["Location"] == "/account/second-factor/"
    client.get("/account/", headers={"HX-Request": "true"})
    client.post("/account/sessions/end-others/")
    client.post("/account/second-factor/", {"do": "offer"})
    factor = services.factor_of(bob)
    assert factor is not None
    done = client.post("/account/second-factor/", {"do": "confirm", "code": code_now(services.offered(factor), clock)})
    assert f'href="/join/{text}/?x=1">I have kept them' in done.content.decode()
    # Made anew another day, they lead home.
    recovery = re.findall(r"\b[a-z2-9]{6}-[a-z2-9]{6}\b", done.content.decode())
    again = client.post("/account/second-factor/", {"do": "renew", "code": recovery[0]})
    assert 'href="/">I have kept them' in again.content.decode()


def test_a_session_that_never_showed_it_cannot_change_it(bob: User, clock: Any, settings: Any) -> None:
    with_factor(bob, clock)
    settings.REQUIRE_MFA = True
    client = quick(Client())
    client.force_login(bob)
    assert client.get("/account/").headers["Location"] == "/account/second-factor/"
    assert client.post("/account/second-factor/", {"do": "offer"}).status_code == 422
    assert client.get("/account/").status_code == 302


def test_tokens_are_not_asked_for_it(bob: User, clock: Any, settings: Any) -> None:
    settings.REQUIRE_MFA = True
    with_factor(bob, clock)
    _, token = services.issue_token(bob, name="t", actor=SYSTEM)
    answer = quick(APIClient()).get("/api/v1/me/second-factor/", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert (answer.json()["active"], answer.json()["needed"]) == (True, True)


def test_nothing_of_it_can_be_read_from_the_database(bob: User, clock: Any) -> None:
    secret, codes = with_factor(bob, clock)
    rows = str([*SecondFactor.objects.values(), *Event.objects.values(), *Session.objects.values()])
    assert secret not in rows
    assert not any(each in rows or each.replace("-", "") in rows for each in codes)


def test_it_follows_the_master_key(bob: User, clock: Any, settings: Any) -> None:
    secret, _ = with_factor(bob, clock)
    old = settings.MASTER_KEY()
    new = "2:" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    settings.MASTER_KEY = lambda: f"{new},1:{old.rpartition(':')[2]}"
    call_command("rotate_credentials")
    settings.MASTER_KEY = lambda: new
    assert services.check_code(bob, code=code_now(secret, clock), address=HERE) == "code"


def test_a_master_key_that_is_another_one_is_told_in_words(bob: User, clock: Any, settings: Any) -> None:
    secret, codes = with_factor(bob, clock)
    client = password_shown()
    settings.MASTER_KEY = lambda: "1:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    for key in (settings.MASTER_KEY, lambda: ""):
        settings.MASTER_KEY = key
        answer = show(client, code_now(secret, clock))
        said = "master key is missing or another one"
        assert (answer.status_code, said in answer.content.decode()) == (503, True)
        assert "A recovery code opens all the same" in answer.content.decode()
    # Which is no wrong code: nobody is locked out by it.
    assert SecondFactor.objects.get().failures == 0
    assert show(client, codes[0]).status_code == 302
    wrong = client.post("/account/second-factor/", {"do": "renew", "code": code_now(secret, clock)})
    assert (wrong.status_code, said in wrong.content.decode()) == (503, True)


def test_one_persons_secret_opens_nothing_for_another(bob: User, clock: Any) -> None:
    secret, _ = with_factor(bob, clock)
    eve = services.create_user(username="eve", password=PASSWORD, actor=SYSTEM)
    with_factor(eve, clock)
    with pytest.raises(Invalid):
        services.check_code(eve, code=code_now(secret, clock), address=HERE)
