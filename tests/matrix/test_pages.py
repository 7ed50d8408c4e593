"""Every page of the console for everybody, as the table says. A page without a row fails the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.sources.models import Stream
from manifold.console import urls
from tests.furnished import DOCUMENT, Furnished
from tests.matrix.tables import PAGES, PAGES_REMEMBERED, PEOPLE, parsed
from tests.people import PASSWORD, quick

pytestmark = pytest.mark.django_db

ROWS = [(verb, page, says) for (verb, page), says in parsed(PAGES)]
SLUGS = {"source": "drop", "stream": "drop", "pipeline": "orders", "dataset": "orders"}
OTHER_SLUGS = {"source-upload-remove": "given", "source-query": "db"}
FORMS: dict[str, Callable[[Furnished], dict[str, Any]]] = {
    "tokens": lambda _: {"name": "other", "role": "viewer", "days": "30"},
    "members": lambda _: {"name": "Nina", "role": "viewer", "days": "7"},
    "people": lambda _: {"username": "nina"},
    "projects": lambda _: {"slug": "third"},
    "person": lambda _: {"do": "save", "email": "olga@example.org"},
    "person-active": lambda _: {"active": "yes"},
    "member-role": lambda _: {"role": "operator"},
    "join": lambda _: {"username": "nina", "password": PASSWORD},
    "source-add": lambda made: {"title": "More", "path": str(made.folder / "drop"), "do": "save"},
    "source-edit": lambda made: {"title": "Drop", "path": str(made.folder / "drop"), "do": "save"},
    "source-choose": lambda _: {"stream": "orders"},
    "source-query": lambda _: {"name": "one", "query": "SELECT 1 AS one"},
    "source-upload-remove": lambda _: {"name": "orders-2026-02.csv"},
    "stream": lambda _: {"anyway": "yes"},
    "stream-drift-accept": lambda made: {"drift": made.values["drift"]},
    "stream-files": lambda made: {"file": made.values["files"], "ignored": "yes"},
    "pipeline-new": lambda _: {
        "text": DOCUMENT.replace("pipeline: orders", "pipeline: more").replace("dataset: orders", "dataset: more"),
        "do": "save",
    },
    "pipeline-edit": lambda _: {"text": DOCUMENT, "do": "save"},
    "pipeline-hooks": lambda _: {"name": "another", "do": "add"},
    "pipeline-backfills": lambda _: {"from": "2025-12-01", "to": "2025-12-03", "do": "start"},
    "pipeline-backfill": lambda _: {"do": "pause"},
    "pipeline-schedule": lambda _: {"when": "daily", "at": "06:00"},
    "schedule-preview": lambda _: {"when": "daily", "at": "06:00"},
    "pipeline-retries": lambda _: {"when": "never"},
    "retry-preview": lambda _: {"when": "never"},
    "pipeline-validate": lambda _: {"text": DOCUMENT},
    "pipeline-clone": lambda _: {"name": "copy"},
    "source-inbox": lambda _: {"do": "rotate"},
    "source-connect": lambda _: {"do": "connect"},
    "source-cost": lambda _: {"budget": "5.00"},
    "dataset-freshness": lambda _: {"when": "by", "by": "09:00"},
    "stream-freshness": lambda _: {"when": "by", "by": "09:00"},
    "run-decide": lambda _: {"answer": "continue", "reason": "known"},
}


def address_of(page: str | None, furnished: Furnished) -> str:
    """The page with its gaps filled by what is there."""
    pattern = next(each for each in urls.urlpatterns if each.name == page)
    values = furnished.values
    there = {
        "project": values["projects"],
        "slug": OTHER_SLUGS.get(str(page)) or SLUGS.get(str(page).partition("-")[0], ""),
        "connector": "local_files",
        "rest": "tasks/datatable",
        "suggestion": "seed",
        "number": 1,
        "form": "csv",
        "event_id": values["events"],
        "run_id": {"run-cancel": furnished.running, "run-retry": furnished.cancelled}.get(
            str(page), furnished.succeeded
        ).pk,
        "stream_id": Stream.objects.get(source__slug="drop").pk,
        "backfill_id": values["backfills"],
        "token_id": values["tokens"],
        "username": "olga",
        "invitation_id": values["invitations"],
        "text": furnished.link,
        "identity_id": values["identities"],
        "name": "0" * 32,
    }
    return reverse(f"console:{page}", kwargs={name: there[name] for name in pattern.pattern.converters})


def test_every_page_has_a_row_for_each_verb(furnished: Furnished) -> None:
    taken = {
        (verb.lower(), each.name)
        for each in urls.urlpatterns
        for verb in quick(Client()).options(address_of(each.name, furnished)).headers["Allow"].split(", ")
        if verb in ("GET", "POST")
    }
    assert {row[:2] for row in ROWS} == taken
    assert len(taken) == len(ROWS)


@pytest.mark.parametrize(("verb", "page", "says"), ROWS, ids=[f"{verb} {page}" for verb, page, _ in ROWS])
@pytest.mark.parametrize("who", PEOPLE)
def test_each_may_open_what_the_table_says(
    *, furnished: Furnished, who: str, verb: str, page: str, says: dict[str, str]
) -> None:
    client = quick(Client(raise_request_exception=False))
    if who in furnished.people:
        client.force_login(furnished.people[who])
    form = FORMS.get(page, lambda _: {})(furnished) if verb == "post" else {}
    answer = getattr(client, verb)(address_of(page, furnished), form)
    assert got(answer, page) == says[who], answer.content[:2000] if not answer.streaming else ""


@pytest.mark.parametrize(("words", "says"), parsed(PAGES_REMEMBERED), ids=["accept", "decide"])
@pytest.mark.parametrize("who", PEOPLE)
def test_whoever_changes_sources_has_an_answer_remembered(
    *, furnished: Furnished, who: str, words: list[str], says: dict[str, str]
) -> None:
    _, page = words
    client = quick(Client(raise_request_exception=False))
    if who in furnished.people:
        client.force_login(furnished.people[who])
    answer = client.post(address_of(page, furnished), FORMS[page](furnished) | {"remember": "on"})
    assert got(answer, page) == says[who]


def got(answer: Any, page: str) -> str:
    """`yes` for a page and for a form that sends one on; a redirect to the sign-in page is none."""
    if answer.status_code in (301, 302):
        return "sign-in" if answer.headers["Location"].startswith("/login/") and page != "sign-out" else "yes"
    return "yes" if answer.status_code < 300 else str(answer.status_code)
