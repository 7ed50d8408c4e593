"""A source begun by a template: over the API, and in the console."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.sources.models import Source
from tests.dataplane.connectors.rest.api import Api
from tests.people import Api as Clients

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights/sources/"


def test_it_works(api: Clients, admin: User, project: Project) -> None:
    client = api(admin)
    found = {each["key"]: each for each in client.get("/api/v1/source-templates/").json()["results"]}
    assert found["github"]["asks"][0] == {"name": "owner", "title": "Owner", "example": "octocat"}
    body: dict[str, object] = {"slug": "code", "connector": "rest", "template": "github"}
    body |= {"params": {"owner": "octocat", "repository": "hello", "token": "t", "page_size": 50}}
    answer = client.post(BASE, body, format="json")
    assert answer.status_code == 201, answer.json()
    params = Source.objects.get(slug="code").params
    assert params["streams"][3] == "releases /repos/octocat/hello/releases"
    assert (params["page_size"], params["pagination"]) == (50, "link") and "owner" not in params


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"params": {"owner": "octocat", "token": "t"}}, "params.repository"),
        ({"params": {"owner": "octocat", "repository": "hello"}}, "params.token"),
        ({"template": "gitlab"}, "template"),
        ({"connector": "graphql"}, "template"),
    ],
)
def test_what_is_missing_is_named(
    api: Clients, admin: User, project: Project, changes: dict[str, object], field: str
) -> None:
    body = {"slug": "code", "connector": "rest", "template": "github", "params": {}, **changes}
    for address in (BASE, f"{BASE}try/"):
        sent = body if address == BASE else {name: body[name] for name in body if name != "slug"}
        answer = api(admin).post(address, sent, format="json")
        assert answer.status_code == 400
        (wrong,) = answer.json()["errors"]
        assert wrong["field"] == field and not wrong["message"].startswith("Value error")


def test_the_form_is_filled_and_asks(client: Client, admin: User, project: Project, shop: Api) -> None:
    client.force_login(admin)
    assert "template=github" in client.get("/p/flights/new-source/").content.decode()
    page = client.get("/p/flights/new-source/rest/?template=json-api").content.decode()
    assert 'value="https://{host}"' in page and 'name="ask-host"' in page and "records /{path}" in page
    assert 'name="ask-' not in client.get("/p/flights/new-source/rest/?template=other").content.decode()
    form = {"title": "Shop", "do": "test", "template": "json-api", "ask-host": "x", "ask-path": "all"}
    form |= {"param-base_url": shop.base, "param-streams": "orders /{path}", "param-records": "data.orders"}
    assert "it works" in client.post("/p/flights/new-source/rest/", form).content.decode()
    assert (
        "Say it, such as orders"
        in client.post("/p/flights/new-source/rest/", {**form, "ask-path": ""}).content.decode()
    )
