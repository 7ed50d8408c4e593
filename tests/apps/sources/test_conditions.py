"""Parameters that mean nothing beside others: refused when they are given, left alone where they are stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Source
from apps.sources.parameters import InvalidFields
from apps.sources.services.credentials import reseal

pytestmark = pytest.mark.django_db

PARAMS = {"base_url": "https://api.example.org", "streams": ["orders /orders"]}
BUCKET = {"bucket": "things", "access_key_id": "AKIA1", "secret_access_key": "s"}


def kept(project: Project, connector: str, params: dict[str, Any]) -> Source:
    return services.create_source(project, slug="shop", title="Shop", connector=connector, params=params, actor=SYSTEM)


def secrets(source: Source) -> list[str]:
    found = Source.objects.select_related("credential").get(pk=source.pk).credential
    return sorted(found.secrets) if found else []


@pytest.fixture
def unused(project: Project) -> Source:
    """A source that was stored with what it has no use for."""
    source = kept(project, "rest", PARAMS | {"auth": "bearer", "token": "t"})
    source.params = {**source.params, "user": "somebody"}
    source.save()
    return source


def test_a_value_that_means_nothing_is_refused_with_what_to_do(admin: User, client: Client, project: Project) -> None:
    client.force_login(admin)
    params = PARAMS | {"auth": "basic", "user": "u", "token": "t"}
    body = {"slug": "shop", "connector": "rest", "params": params}
    address = f"/api/v1/projects/{project.slug}/sources/"
    answer = client.post(address, body, content_type="application/json")
    assert answer.status_code == 400
    said = {each["field"].removeprefix("params."): each["message"] for each in answer.json()["errors"]}
    assert said == {"password": "Fill it in: it is needed where auth is basic."}
    params["password"] = "p"
    answer = client.post(address, body, content_type="application/json")
    assert answer.status_code == 400
    said = {each["field"].removeprefix("params."): each["message"] for each in answer.json()["errors"]}
    assert said == {"token": "It applies only where auth is bearer or api_key. Leave it out, or change that."}
    assert not Source.objects.exists()


def test_what_is_stored_already_stays_and_only_what_is_given_anew_is_refused(unused: Source) -> None:
    services.update_source(unused, params={"most_pages": 5, "user": "somebody"}, actor=SYSTEM)
    unused.refresh_from_db()
    assert (unused.params["user"], unused.params["most_pages"]) == ("somebody", 5)
    with pytest.raises(InvalidFields) as caught:
        services.update_source(unused, params={"user": "another"}, actor=SYSTEM)
    assert list(caught.value.fields) == ["user"]
    services.update_source(unused, params={"user": None}, actor=SYSTEM)
    unused.refresh_from_db()
    assert unused.params["user"] is None


def test_a_credential_of_several_sources_may_hold_what_one_of_them_has_no_use_for(project: Project) -> None:
    source = kept(project, "rest", PARAMS | {"auth": "bearer", "token": "t"})
    assert source.credential is not None
    services.create_source(
        project,
        slug="open",
        title="",
        connector="rest",
        params=PARAMS,
        credential=source.credential,
        actor=SYSTEM,
    )


def test_the_form_shows_what_is_stored_for_nothing_and_says_so(admin: User, client: Client, unused: Source) -> None:
    client.force_login(admin)
    said = client.get(f"/p/{unused.project.slug}/sources/{unused.slug}/edit/").content.decode()
    assert said.count("Not used as it stands: it applies only where auth is basic. Empty it, or change that.") == 1
    field = said[: said.index('id="param-user"')].rpartition('<div class="field')[2]
    assert "data-when" not in field, "it is shown whatever is chosen"
    assert "<legend>Sign in</legend>" in said and said.index("<legend>Sign in<") < said.index("<legend>Limits<")


def test_another_way_to_sign_in_takes_out_what_the_one_before_needed(
    admin: User, client: Client, project: Project
) -> None:
    source = kept(project, "s3", BUCKET)
    client.force_login(admin)
    address = f"/p/{project.slug}/sources/shop/edit/"
    said = client.get(address).content.decode()
    assert '<option value="keys" selected>an access key</option>' in said
    form = {"title": "Shop", "param-bucket": "things", "param-region": "eu-west-1"}
    client.post(address, form | {"param-way": "keys", "param-access_key_id": "AKIA2"})
    source.refresh_from_db()
    assert source.params["access_key_id"] == "AKIA2" and secrets(source) == ["secret_access_key"]
    client.post(address, form | {"param-way": "public"})
    source.refresh_from_db()
    assert source.params["access_key_id"] is None and secrets(source) == []


def test_another_sign_in_forgets_the_secret_of_the_one_before(admin: User, client: Client, unused: Source) -> None:
    client.force_login(admin)
    form = {"title": "Shop", "param-base_url": PARAMS["base_url"], "param-streams": "orders /orders"}
    client.post(
        f"/p/{unused.project.slug}/sources/shop/edit/",
        form | {"param-auth": "basic", "param-user": "u", "param-password": "p"},
    )
    assert secrets(unused) == ["password"]


def test_a_credential_of_several_sources_keeps_its_secrets_when_one_of_them_is_edited(
    admin: User, client: Client, project: Project
) -> None:
    source = kept(project, "rest", PARAMS | {"auth": "bearer", "token": "t"})
    shared: dict[str, Any] = {"params": PARAMS | {"auth": "bearer"}, "credential": source.credential, "actor": SYSTEM}
    services.create_source(project, slug="open", title="", connector="rest", **shared)
    client.force_login(admin)
    form = {"param-base_url": PARAMS["base_url"], "param-streams": "orders /orders", "param-auth": "none"}
    for title in ("It needs no token now", "Only the title"):
        client.post(f"/p/{project.slug}/sources/open/edit/", form | {"title": title})
        changed = Source.objects.get(slug="open")
        assert (changed.title, changed.params["auth"]) == (title, "none")
        assert secrets(source) == ["token"]
    client.post(f"/p/{project.slug}/sources/open/edit/", form | {"title": "Gone", "remove-token": "on"})
    assert secrets(source) == []


def test_a_secret_that_was_stored_for_nothing_stays_until_somebody_removes_it(
    admin: User, client: Client, project: Project
) -> None:
    source = kept(project, "sftp", {"host": "127.0.0.1", "port": 1, "user": "u", "private_key": "k"})
    assert source.credential is not None
    reseal(source.credential, {"private_key": "k", "password": "p"})
    source.credential.save()
    client.force_login(admin)
    address = f"/p/{project.slug}/sources/shop/edit/"
    assert client.get(address).content.decode().count('placeholder="stored; leave empty to keep it"') == 2
    form = {"title": "T", "param-host": "127.0.0.1", "param-port": "1", "param-user": "u", "param-way": "key"}
    client.post(address, form)
    assert Source.objects.get(slug="shop").title == "T"
    assert secrets(source) == ["password", "private_key"]
    client.post(address, form | {"remove-password": "on"})
    assert secrets(source) == ["private_key"]


def test_a_form_that_says_no_way_to_sign_in_keeps_the_stored_one(admin: User, client: Client, project: Project) -> None:
    source = kept(project, "azure_blob", {"account": "things", "container": "drop", "account_key": "a2V5"})
    client.force_login(admin)
    form = {"title": "T", "param-account": "things", "param-container": "drop"}
    client.post(f"/p/{project.slug}/sources/shop/edit/", form)
    assert Source.objects.get(slug="shop").title == "T"
    assert secrets(source) == ["account_key"]


def test_a_pasted_password_is_left_out_where_another_way_was_chosen(
    admin: User, client: Client, project: Project
) -> None:
    client.force_login(admin)
    form = {
        "do": "anyway",
        "title": "Drop",
        "text": "sftp://reader:secret@127.0.0.1:1/drop",
        "param-way": "key",
        "param-host": "127.0.0.1",
        "param-port": "1",
        "param-user": "reader",
        "param-private_key": "a key",
    }
    client.post(f"/p/{project.slug}/new-source/sftp/", form)
    assert secrets(Source.objects.get(slug="drop")) == ["private_key"]


SHOP = {"shop": "x", "version": "2025-01", "streams": ["orders /orders.json"]}
TEXT = "sftp://reader:secret@127.0.0.1:1/drop"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"template": "shopify", "connector": "rest", "params": SHOP | {"auth": "bearer", "token": "t"}}, ["token"]),
        (
            {
                "template": "zendesk",
                "connector": "rest",
                "params": {"subdomain": "x", "email": "a@b.c", "auth": "bearer", "token": "t", "streams": ["a /a"]},
            },
            ["token"],
        ),
        ({"text": TEXT, "connector": "sftp", "params": {"private_key": "k"}}, ["private_key"]),
        ({"text": TEXT, "connector": "sftp", "params": {}}, ["password"]),
    ],
    ids=["shopify", "zendesk", "another way", "the way of the text"],
)
def test_what_a_text_or_template_tells_gives_way_to_what_is_said(
    admin: User, client: Client, project: Project, body: dict[str, Any], wanted: list[str]
) -> None:
    client.force_login(admin)
    address = f"/api/v1/projects/{project.slug}/sources/"
    answer = client.post(address, body | {"slug": "shop"}, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert secrets(Source.objects.get(slug="shop")) == wanted
    said = body | {"slug": "again", "params": body["params"] | {"passphrase" if "text" in body else "password": "p"}}
    refused = client.post(address, said, content_type="application/json")
    assert (refused.status_code == 400) == (wanted != ["private_key"]), "what is said and means nothing is refused"
