"""Signing in through a real provider on loopback: who gets in, who does not, and that nothing forged does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from apps.accounts import services, totp
from apps.accounts.models import Identity, Membership, Project, Role, Session, User
from apps.accounts.oidc import issuer
from apps.accounts.oidc.flow import Claims
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from tests.apps.accounts.provider import CLIENT, SECRET, Provider
from tests.people import PASSWORD, Api, make_user, quick

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    with Provider().serving() as provider:
        settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = provider.url, CLIENT, SECRET
        settings.OIDC_TITLE = "Keyhouse"
        yield provider
        issuer._kept.clear()


@pytest.fixture
def bob() -> User:
    user = make_user("bob")
    user.email = "Bob@Example.org"
    user.save()
    return user


def come_through(provider: Provider, client: Client | None = None, onward: str = "/account/") -> Any:
    """Away, through the provider, and back."""
    client = client or quick(Client())
    sent = client.get("/login/oidc/", {"next": onward})
    assert sent.status_code == 302, sent.content
    return client.get(provider.let_in(sent.headers["Location"]))


def let_in(answer: Any) -> bool:
    return bool(answer.status_code == 302)


def refused(answer: Any, *said: str) -> bool:
    assert answer.status_code == 403
    assert "_auth_user_id" not in answer.client.session
    text = answer.content.decode()
    return all(escape(each) in text for each in said)


def test_it_works(provider: Provider, bob: User) -> None:
    assert "Sign in with Keyhouse" in quick(Client()).get("/login/").content.decode()
    answer = come_through(provider)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/account/")
    page = answer.client.get("/account/").content.decode()
    assert "bob@example.org" in page
    identity = Identity.objects.get()
    assert (identity.user, identity.subject, identity.issuer) == (bob, "1", provider.url)
    event = Event.objects.get(verb="signed in")
    assert (event.actor_name, event.data["by"]) == ("bob", "Keyhouse")
    assert Event.objects.get(verb="identity created").object_name == "bob"


def test_the_subject_stays_whatever_the_address_becomes(provider: Provider, bob: User) -> None:
    come_through(provider)
    eve = make_user("eve")
    eve.email = "eve@example.org"
    eve.save()
    provider.person |= {"email": "eve@example.org"}
    assert let_in(come_through(provider))
    provider.person |= {"email_verified": False}
    assert let_in(come_through(provider))
    assert [each.user for each in Identity.objects.all()] == [bob]


def test_an_address_that_passed_to_somebody_else_takes_no_account_along(provider: Provider, bob: User) -> None:
    assert let_in(come_through(provider))
    provider.person |= {"sub": "2"}
    assert refused(come_through(provider), "signs in with another account of Keyhouse")
    assert [each.subject for each in Identity.objects.all()] == ["1"]


@pytest.mark.parametrize("person", [{"sub": "s" * 256}, {"sub": "1\0"}, {"email": "bob\0@example.org"}])
def test_claims_that_cannot_be_stored_are_refused(provider: Provider, bob: User, person: dict[str, str]) -> None:
    provider.person |= person
    assert refused(come_through(provider), "longer than 255 characters")


def test_a_silent_issuer_is_asked_once_by_all_who_come(provider: Provider, bob: User, settings: Any) -> None:
    settings.OIDC_ISSUER = "http://127.0.0.1:1"
    answers = [quick(Client()).get("/login/oidc/") for _ in range(3)]
    assert [each.status_code for each in answers] == [503] * 3
    tried = issuer._kept[settings.OIDC_ISSUER].tried_at
    assert quick(Client()).get("/login/oidc/").status_code == 503
    assert issuer._kept[settings.OIDC_ISSUER].tried_at == tried


@pytest.mark.parametrize("verified", [False, None, "false", "yes", 1])
def test_an_address_that_is_not_verified_opens_no_account(provider: Provider, bob: User, verified: Any) -> None:
    provider.person["email_verified"] = verified
    if verified is None:
        provider.userinfo = {"sub": "1"}
    assert refused(come_through(provider), "has not verified your e-mail address")
    assert not Identity.objects.exists()
    event = Event.objects.get(verb="sign-in refused")
    assert (event.data["why"], event.data["by"]) == ("oidc_unverified", "Keyhouse")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "another-client"}, "Audience"),
        ({"aud": [CLIENT, "other"], "azp": "other"}, "azp"),
        ({"iss": "http://127.0.0.1:1"}, "ssuer"),
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "exp"),
        ({"iat": int(time.time()) + 3600}, "iat"),
        ({"sub": None}, "sub"),
    ],
)
def test_a_token_that_is_not_for_us_and_now_is_refused(
    provider: Provider, bob: User, wrong: dict[str, Any], said: str
) -> None:
    provider.claims = wrong
    assert refused(come_through(provider), "does not hold", said)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_that_the_issuer_did_not_sign_is_refused(provider: Provider, bob: User, algorithm: str) -> None:
    provider.algorithm = algorithm
    assert refused(come_through(provider), "does not hold")


def test_a_signature_with_another_key_is_refused(provider: Provider, bob: User) -> None:
    provider.sign_with = 2
    assert refused(come_through(provider), "does not publish the key")


def test_an_issuer_that_renews_its_keys(provider: Provider, bob: User) -> None:
    assert let_in(come_through(provider))
    provider.published, provider.sign_with = [2], 2
    assert let_in(come_through(provider))
    assert provider.asked.count("/keys") == 2
    assert provider.asked.count("/.well-known/openid-configuration") == 1
    # What it no longer publishes is no longer good, once that has been read.
    provider.sign_with = 1
    assert refused(come_through(provider), "does not publish the key")


def test_an_answer_to_another_browser_or_to_nothing_is_refused(provider: Provider, bob: User) -> None:
    mine, theirs = quick(Client()), quick(Client())
    back = provider.let_in(mine.get("/login/oidc/").headers["Location"])
    assert refused(theirs.get(back), "another browser")
    theirs.get("/login/oidc/")
    assert refused(theirs.get(back), "not to the sign-in begun last")
    assert let_in(mine.get(back))
    mine.post("/logout/")
    assert refused(mine.get(back), "Begin again")


def test_a_code_for_another_challenge_is_refused(provider: Provider, bob: User) -> None:
    client = quick(Client())
    back = provider.let_in(client.get("/login/oidc/").headers["Location"])
    session = client.session
    session["oidc"] = session["oidc"] | {"verifier": "x" * 43}
    session.save()
    answer = client.get(back)
    assert (answer.status_code, "wrong verifier" in answer.content.decode()) == (503, True)


def test_it_goes_on_to_no_other_site(provider: Provider, bob: User) -> None:
    for onward in ("https://evil.example", "//evil.example", "javascript:alert(1)"):
        assert come_through(provider, onward=onward).headers["Location"] == "/"


def test_what_the_provider_says_is_told_in_plain_words(provider: Provider, bob: User) -> None:
    client = quick(Client())
    for said, told in [("access_denied", "did not let you in"), ("<b>server_error</b>", "refused the sign-in")]:
        state = parse_qs(urlsplit(client.get("/login/oidc/").headers["Location"]).query)["state"][0]
        answer = client.get("/login/oidc/callback/", {"error": said, "state": state})
        assert refused(answer, told)
        assert "<b>server" not in answer.content.decode()


def test_a_silent_or_wrong_issuer(provider: Provider, bob: User, settings: Any) -> None:
    provider.document = {"issuer": "https://other.example"}
    assert "calls itself" in quick(Client()).get("/login/oidc/").content.decode()
    provider.document = {"token_endpoint": None}
    assert "has no token_endpoint" in quick(Client()).get("/login/oidc/").content.decode()
    settings.OIDC_ISSUER = "http://127.0.0.1:1"
    answer = quick(Client()).get("/login/oidc/")
    assert (answer.status_code, "Try again" in answer.content.decode()) == (503, True)
    settings.OIDC_ISSUER = "https://169.254.169.254"
    assert "169.254.169.254" in quick(Client()).get("/login/oidc/").content.decode()


def test_only_whom_somebody_knows_unless_new_people_are_welcome(provider: Provider, settings: Any) -> None:
    make_user("nina")
    provider.person = {"sub": "9", "email": "nina@example.org", "email_verified": True, "preferred_username": "Nina"}
    assert refused(come_through(provider), "Nobody here has the e-mail address nina@example.org")
    settings.OIDC_NEW_PEOPLE = True
    assert let_in(come_through(provider))
    made = Identity.objects.get().user
    assert (made.username, made.email, made.has_usable_password()) == ("Nina-2", "nina@example.org", False)
    assert not made.is_superuser
    assert not made.memberships.exists()


def test_whoever_follows_an_invitation_may_be_new(provider: Provider, project: Project) -> None:
    _, text = services.invite(project, name="Nina", role=Role.VIEWER, actor=SYSTEM)
    provider.person = {"sub": "9", "email": "nina@example.org", "email_verified": True}
    assert refused(come_through(provider, onward="/join/made-up/"), "Ask for an invitation")
    assert "then join" in quick(Client()).get(f"/join/{text}/").content.decode()
    answer = come_through(provider, onward=f"/join/{text}/")
    assert answer.headers["Location"] == f"/join/{text}/"
    assert answer.client.post(f"/join/{text}/").status_code == 302
    assert Membership.objects.get(user__username="nina").project == project
    provider.person = {"sub": "10", "email": "otto@example.org", "email_verified": True}
    assert refused(come_through(provider, onward=f"/join/{text}/"), "Ask for an invitation")


def test_only_addresses_of_the_domains_that_are_named(provider: Provider, bob: User, settings: Any) -> None:
    settings.OIDC_DOMAINS = ["example.com"]
    assert refused(come_through(provider), "Only e-mail addresses of example.com")
    settings.OIDC_DOMAINS = ["example.com", "example.org"]
    assert let_in(come_through(provider))
    # A look-alike, and a domain below one that is named.
    for email in ("bob@example.org.evil.net", "bob@x.example.org", "bob@evilexample.org"):
        provider.person["email"] = email
        assert refused(come_through(provider), "Only e-mail addresses")


def test_neither_somebody_kept_out_nor_one_of_several(provider: Provider, bob: User) -> None:
    services.set_active(bob, active=False, actor=SYSTEM)
    assert refused(come_through(provider), "switched off")
    services.set_active(bob, active=True, actor=SYSTEM)
    other = make_user("bob2")
    other.email = "bob@example.org"
    other.save()
    assert refused(come_through(provider), "Several people")


def test_an_address_that_only_looks_alike_is_another(provider: Provider) -> None:
    mike = make_user("mike")
    mike.email = "mike@example.org"
    mike.save()
    provider.person["email"] = "m\u0131ke@example.org"
    assert refused(come_through(provider), "Nobody here has")
    provider.person["email"] = "MIKE@EXAMPLE.ORG"
    assert let_in(come_through(provider))


def test_what_anybody_can_make_up_does_not_fill_the_log(provider: Provider) -> None:
    client = quick(Client())
    client.get("/login/oidc/callback/?code=x&state=y")
    for made_up in ({"error": "access_denied"}, {"error": "made up"}, {"code": "made up"}):
        state = parse_qs(urlsplit(client.get("/login/oidc/").headers["Location"]).query)["state"][0]
        assert client.get("/login/oidc/callback/", {**made_up, "state": state}).status_code in (403, 503)
    assert not Event.objects.filter(verb="sign-in refused").exists()


def test_sign_ins_that_nobody_finishes_go(provider: Provider, bob: User) -> None:
    left = quick(Client())
    left.get("/login/oidc/")
    (kept,) = Session.objects.all()
    assert kept.expire_date < timezone.now() + timedelta(minutes=11)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    come_through(provider)
    (mine,) = Session.objects.all()
    assert mine.user == bob
    assert mine.expire_date > timezone.now() + timedelta(hours=11)


def test_the_address_may_be_told_apart_from_the_token(provider: Provider, bob: User) -> None:
    provider.person = {"sub": "1"}
    provider.userinfo = {"sub": "2", "email": "bob@example.org", "email_verified": True}
    assert refused(come_through(provider), "somebody else")
    provider.userinfo["sub"] = "1"
    assert let_in(come_through(provider))


def test_roles_follow_groups(provider: Provider, bob: User, project: Project, admin: User, settings: Any) -> None:
    settings.OIDC_GROUPS = [
        ("data", "flights", "viewer"),
        ("data-admins", "flights", "admin"),
        ("x", "nowhere", "admin"),
    ]
    kept = services.create_project(slug="kept", name="Kept", admin=bob, actor=SYSTEM)
    for groups, role in [(["data"], "viewer"), (["data-admins", "data"], "admin"), (["data"], "viewer"), ([], None)]:
        provider.person["groups"] = groups
        assert let_in(come_through(provider))
        roles = Membership.objects.filter(user=bob, project=project).values_list("role", flat=True)
        assert list(roles) == ([role] if role else [])
    assert Membership.objects.filter(user=bob, project=kept).exists()
    assert Event.objects.filter(verb="membership deleted", actor_name="groups of Keyhouse").count() == 1
    # One group as a text counts; groups that the issuer has too many of to tell change nothing.
    provider.person["groups"] = "data"
    assert let_in(come_through(provider))
    assert Membership.objects.get(user=bob, project=project).role == "viewer"
    del provider.person["groups"]
    provider.person["_claim_names"] = {"groups": "elsewhere"}
    provider.userinfo = {"sub": "1"}
    assert let_in(come_through(provider))
    assert Membership.objects.get(user=bob, project=project).role == "viewer"
    provider.person |= {"_claim_names": None, "groups": []}
    # The last administrator stays one, whatever the groups say.
    services.set_membership(project, bob, role=Role.ADMIN, actor=SYSTEM)
    services.remove_membership(project, admin, actor=SYSTEM)
    assert let_in(come_through(provider))
    assert Membership.objects.get(user=bob, project=project).role == "admin"


def test_the_second_factor_is_asked_for_all_the_same(provider: Provider, bob: User, settings: Any) -> None:
    secret = services.offered(services.offer(bob, actor=SYSTEM))
    codes = services.confirm(
        bob, code=totp.code_at(secret, int(time.time()) // totp.STEP), keep_session=None, actor=SYSTEM
    )
    answer = come_through(provider)
    assert answer.headers["Location"] == "/login/code/"
    assert answer.client.get("/account/").status_code == 302
    assert answer.client.post("/login/code/", {"code": codes[0]}).headers["Location"] == "/account/"
    settings.OIDC_MFA = settings.REQUIRE_MFA = True
    answer = come_through(provider)
    assert answer.headers["Location"] == "/account/"
    assert answer.client.get("/account/").status_code == 200


def sue_signed_in() -> tuple[User, Client]:
    user = services.create_user(username="sue", password=PASSWORD, email="sue@example.org", actor=SYSTEM)
    client = quick(Client())
    client.post("/login/", {"username": "sue", "password": PASSWORD})
    return user, client


def link(provider: Provider, client: Client, **shown: str) -> Any:
    """Through the provider and back, from the page of one's account."""
    there = client.post("/account/identities/link/", shown or {"password": PASSWORD}).context["url"]
    return client.get(provider.let_in(there))


def test_linking_ones_own_account_and_unlinking_it(provider: Provider, api: Api) -> None:
    user, client = sue_signed_in()
    provider.person = {"sub": "7"}
    provider.userinfo = {"sub": "7"}
    assert link(provider, client).headers["Location"] == "/account/"
    client.post("/logout/")
    assert come_through(provider, client).headers["Location"] == "/account/"
    (shown,) = api(user).get("/api/v1/me/identities/").json()["results"]
    assert shown["subject"] == "7"
    other = make_user("other")
    unlink = f"/api/v1/me/identities/{shown['id']}/unlink/"
    assert api(other).post(unlink).status_code == 404
    # Whoever has no password keeps the last link.
    last = services.link(other, Claims(provider.url, "8", "", "", frozenset()), actor=SYSTEM)
    assert api(other).post(f"/api/v1/me/identities/{last.pk}/unlink/").status_code == 409
    assert client.post(f"/account/identities/{shown['id']}/unlink/", {"password": PASSWORD}).status_code == 302
    assert Event.objects.filter(verb="identity changed", actor_name="sue", after__has_key="unlinked_at").count() == 1
    assert api(user).get("/api/v1/me/identities/").json()["results"] == []
    assert "Nothing is linked" in client.get("/account/").content.decode()
    assert refused(come_through(provider, quick(Client())), "was unlinked here")


def test_what_was_unlinked_stays_so_whatever_address_is_verified(provider: Provider, api: Api, settings: Any) -> None:
    user, client = sue_signed_in()
    provider.person = {"sub": "7", "email": "sue@example.org", "email_verified": True}
    assert let_in(come_through(provider))
    (mine,) = api(user).get("/api/v1/me/identities/").json()["results"]
    done = api(user).post(f"/api/v1/me/identities/{mine['id']}/unlink/", {"password": PASSWORD})
    assert (done.status_code, Identity.objects.get().unlinked_at is not None) == (204, True)
    settings.OIDC_NEW_PEOPLE = True
    assert refused(come_through(provider), "was unlinked here")
    assert Event.objects.get(verb="sign-in refused").data["why"] == "oidc_unlinked"
    # Nor does another subject of that address come in by it.
    provider.person["sub"] = "8"
    assert refused(come_through(provider), "signs in with another account of Keyhouse")
    # Whoever has the account links it again, or somebody else does who has both.
    provider.person["sub"] = "7"
    assert let_in(link(provider, client))
    assert let_in(come_through(provider))
    services.unlink(Identity.objects.get(), actor=SYSTEM)
    eve = services.create_user(username="eve", password=PASSWORD, actor=SYSTEM)
    theirs = quick(Client())
    theirs.post("/login/", {"username": "eve", "password": PASSWORD})
    assert let_in(link(provider, theirs))
    assert Identity.objects.get().user == eve


def test_links_change_only_with_the_password_or_a_code(provider: Provider, api: Api) -> None:
    user, client = sue_signed_in()
    provider.person = {"sub": "7"}
    provider.userinfo = {"sub": "7"}

    def tried(address: str = "/account/identities/link/", **shown: str) -> str:
        client.post(address, shown)
        return client.get("/account/").content.decode()

    assert "This is not your password" in tried(password="guess")
    assert "This is not your password" in tried()
    assert let_in(link(provider, client))
    unlink = f"/account/identities/{Identity.objects.get().pk}/unlink/"
    assert "This is not your password" in tried(unlink, password="guess")
    by_api = f"/api/v1/me/identities/{Identity.objects.get().pk}/unlink/"
    wrong = api(user).post(by_api, {"password": "guess"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "current")
    secret = services.offered(services.offer(user, actor=SYSTEM))
    step = int(time.time()) // totp.STEP
    codes = services.confirm(
        user, code=totp.code_at(secret, step), keep_session=client.session.session_key, actor=SYSTEM
    )
    assert "not the code" in tried(password=PASSWORD)
    assert api(user).post(by_api, {"password": PASSWORD}).json()["errors"][0]["field"] == "code"
    assert client.post("/account/identities/link/", {"code": codes[0]}).status_code == 200
    assert Identity.objects.get().unlinked_at is None
    assert client.post(unlink, {"code": codes[1]}).status_code == 302
    assert Identity.objects.get().unlinked_at is not None


def test_whoever_has_neither_has_to_have_signed_in_just_now(provider: Provider, bob: User, api: Api) -> None:
    client = come_through(provider).client
    services.link(bob, Claims(provider.url, "2", "", "", frozenset()), actor=SYSTEM)
    unlink = f"/account/identities/{Identity.objects.get(subject='2').pk}/unlink/"
    session = client.session
    session["began_at"] = int(time.time()) - 601
    session.save()
    for address in (unlink, "/account/identities/link/"):
        client.post(address)
        assert "signed in a while ago" in client.get("/account/").content.decode()
    assert api(bob).post(f"/api/v1/me/identities/{Identity.objects.get(subject='2').pk}/unlink/").status_code == 409
    client = come_through(provider).client
    assert client.post(unlink).status_code == 302
    assert Identity.objects.get(subject="2").unlinked_at is not None


def test_a_subject_of_somebody_else_is_not_linked(provider: Provider, bob: User) -> None:
    come_through(provider)
    services.create_user(username="eve", password=PASSWORD, actor=SYSTEM)
    client = quick(Client())
    client.post("/login/", {"username": "eve", "password": PASSWORD})
    answer = link(provider, client)
    assert (answer.status_code, "Somebody else" in answer.content.decode()) == (403, True)
    assert Identity.objects.get().user == bob
    # Nor is a link made by a GET that somebody else's page could send.
    assert client.get("/account/identities/link/").status_code == 405


@pytest.mark.parametrize(
    ("claim", "named", "told", "opens"),
    [
        ("upn", "", {"upn": "bob@example.org", "email_verified": True}, False),
        ("upn", "", {"upn": "bob@example.org", "email": "bob@example.org", "email_verified": True}, False),
        ("upn", "xms_edov", {"upn": "bob@example.org", "xms_edov": True}, True),
        ("upn", "xms_edov", {"upn": "bob@example.org", "xms_edov": False, "email_verified": True}, False),
        ("upn", "email_verified", {"upn": "bob@example.org", "email_verified": True}, True),
        ("email", "email_verified", {"email": "bob@example.org", "email_verified": True}, True),
    ],
)
def test_an_address_is_verified_by_its_own_claim_only(
    *,
    provider: Provider,
    bob: User,
    settings: Any,
    claim: str,
    named: str,
    told: dict[str, Any],
    opens: bool,
) -> None:
    settings.OIDC_EMAIL_CLAIM, settings.OIDC_EMAIL_VERIFIED_CLAIM = claim, named
    provider.person = {"sub": "1", **told}
    provider.userinfo = {"sub": "1"}
    answer = come_through(provider)
    assert let_in(answer) if opens else refused(answer, "has not verified")


@pytest.mark.django_db(transaction=True)
def test_two_first_sign_ins_at_once_are_one_person(settings: Any) -> None:
    settings.OIDC_NEW_PEOPLE = True
    claims = Claims("https://login.example.org", "9", "nina@example.org", "nina", frozenset())
    both, admitted = threading.Barrier(2), []

    def enter() -> None:
        try:
            both.wait(60)
            admitted.append(services.admit(claims, invited=False).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    (nina,) = User.objects.all()
    assert admitted == [nina.pk, nina.pk]


def test_passwords_for_superusers_only(provider: Provider, project: Project, settings: Any) -> None:
    settings.OIDC_ONLY = True
    eve = services.create_user(username="eve", password=PASSWORD, actor=SYSTEM)
    with pytest.raises(Conflict, match="Nothing would be left"):
        services.unlink(services.link(eve, Claims(provider.url, "9", "", "", frozenset()), actor=SYSTEM), actor=SYSTEM)
    services.create_user(username="root", password=PASSWORD, superuser=True, actor=SYSTEM)
    said = "passwords are for superusers here. Sign in with Keyhouse."
    pages = [
        quick(Client()).post("/login/", {"username": "eve", "password": password}) for password in (PASSWORD, "guess")
    ]
    # Whether the password was right is told to nobody who cannot use it.
    assert [(each.status_code, said in each.content.decode()) for each in pages] == [(200, True)] * 2
    refusals = Event.objects.filter(verb="sign-in refused", object_name="eve").order_by("id")
    assert [each.data.get("why") for each in refusals] == ["oidc_only", None]
    for _ in range(2):
        quick(Client()).post("/login/", {"username": "eve", "password": PASSWORD})
    assert quick(Client()).post("/login/", {"username": "eve", "password": PASSWORD}).status_code == 429
    assert quick(Client()).post("/login/", {"username": "root", "password": PASSWORD}).status_code == 302
    _, text = services.invite(project, name="Nina", role=Role.VIEWER, actor=SYSTEM)
    assert quick(Client()).post(f"/join/{text}/", {"username": "nina", "password": PASSWORD}).status_code == 422


def test_signing_out_tells_of_the_provider(provider: Provider, bob: User) -> None:
    client = come_through(provider).client
    answer = client.post("/logout/")
    assert answer.headers["Location"] == "/login/?left"
    page = client.get("/login/?left").content.decode()
    assert f"{provider.url}/leave?client_id={CLIENT}" in page
    assert client.get("/account/").status_code == 302


def test_without_an_issuer_there_is_no_such_door(client: Client) -> None:
    assert "Sign in with" not in client.get("/login/").content.decode()
    for address in ("/login/oidc/", "/login/oidc/callback/?code=x&state=y"):
        assert client.get(address).status_code == 404
