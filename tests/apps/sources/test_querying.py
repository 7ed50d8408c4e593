"""The page on which a query of one's own becomes a stream, and the page from which a stream goes again."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.sources import services
from apps.sources.models import Source, Stream
from apps.sources.parameters import InvalidFields
from dataplane.errors import ConfigurationError
from tests.apps.pipelines import workshop as ws

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(project: Project, postgres_url: str) -> Source:
    ws.execute(postgres_url, "CREATE TABLE orders (id int PRIMARY KEY, total numeric(9, 2))")
    ws.insert(postgres_url, "orders", [(1, 5), (2, 99)])
    return ws.postgres_source(project, postgres_url)


def test_it_works(client: Client, admin: User, project: Project, source: Source) -> None:
    client.force_login(admin)
    base = f"/p/{project.slug}/sources/db/"
    assert f"{base}new-query/" in client.get(base).content.decode()
    assert client.get(f"{base}new-query/").status_code == 200
    answer = client.post(f"{base}new-query/", {"name": "large", "query": "SELECT id\r\nFROM orders WHERE total > 50"})
    stream = Stream.objects.get(name="large")
    assert stream.config["query"] == "SELECT id\nFROM orders WHERE total > 50"
    page = f"{base}streams/{stream.pk}/"
    assert answer.headers["Location"] == page
    assert [each["name"] for each in stream.config["columns"]] == ["id"]
    assert "WHERE total &gt; 50</textarea>" in client.get(page).content.decode()
    assert services.preview_stream(stream)["rows"] == [[2]]
    client.post(page, {"query": "SELECT id\r\nFROM orders", "use-0": "on"})
    stream.refresh_from_db()
    assert stream.config["query"] == "SELECT id\nFROM orders"
    assert services.preview_stream(stream)["rows"] == [[1], [2]]
    assert client.post(f"{page}delete/").headers["Location"] == base
    assert not Stream.objects.filter(name="large").exists()


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        ("large", "SELECT nothing FROM orders", "nothing"),
        ("large", "DELETE FROM orders", "SELECT"),
        ("large", " ", "Write a SELECT."),
        ("a/b", "SELECT 1 AS one", "without a slash"),
        ("public.orders", "SELECT 1 AS one", "Choose another name"),
    ],
    ids=["column", "writes", "empty", "slash", "taken"],
)
def test_what_is_wrong_is_said_beside_what_was_written(
    *, client: Client, admin: User, project: Project, source: Source, name: str, query: str, said: str
) -> None:
    client.force_login(admin)
    answer = client.post(f"/p/{project.slug}/sources/db/new-query/", {"name": name, "query": query})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert said in text.partition('<div class="fields">')[0] and f'value="{name}"' in text and query.strip() in text
    assert Stream.objects.count() == 1


def test_a_cursor_that_the_answer_does_not_have_is_refused(source: Source) -> None:
    config = {"query": "SELECT id FROM orders", "cursor": "changed_at"}
    with pytest.raises(ConfigurationError, match="cursor"):
        services.declare_stream(source, name="large", config=config, actor=ws.ACTOR)
    assert Stream.objects.count() == 1


def test_files_take_no_query(client: Client, admin: User, project: Project) -> None:
    source = services.create_source(project, slug="given", title="", connector="uploads", params={}, actor=ws.ACTOR)
    with pytest.raises(InvalidFields, match="query"):
        services.declare_stream(source, name="one", config={"query": "SELECT 1"}, actor=ws.ACTOR)
    client.force_login(admin)
    assert client.get(f"/p/{project.slug}/sources/given/new-query/").status_code == 404
