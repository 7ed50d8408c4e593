"""Every endpoint of the API for everybody, as the table says. An endpoint without a row fails the test."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.furnished import DOCUMENT, Furnished
from tests.manifold.test_every_door import endpoints
from tests.matrix.tables import API, API_REMEMBERED, PEOPLE, parsed
from tests.people import PASSWORD, Api

pytestmark = pytest.mark.django_db

ROWS = [(verb, address.replace("P/", "projects/<project>/"), says) for (verb, address), says in parsed(API)]
# What is sent, so that whoever is allowed gets through.
BODIES: dict[str, dict[str, Any]] = {
    "post me/password/": {"current": PASSWORD, "new": PASSWORD + "-new"},
    "post tokens/": {"name": "other"},
    "post P/invitations/": {"name": "Nina"},
    "post users/": {"username": "nina", "password": PASSWORD},
    "patch users/<username>/": {"is_active": True},
    "post projects/": {"slug": "third"},
    "put P/members/<username>/": {"role": "viewer"},
    "post P/credentials/": {"slug": "other", "connector": "postgresql", "secrets": {"password": "p"}},
    "patch P/credentials/<slug>/": {"secrets": {}},
    "post P/sources/": {
        "slug": "more",
        "connector": "postgresql",
        "params": {"host": "h", "database": "d", "user": "u"},
    },
    "post P/sources/detect/": {"text": "/data/drop"},
    "post P/sources/try/": {"connector": "local_files", "params": {"path": "."}},
    "post P/sources/offers/": {"connector": "local_files", "params": {"path": "."}},
    "post P/sources/sample/": {"connector": "local_files", "params": {"path": "."}, "stream": {"name": "orders"}},
    "patch P/sources/<slug>/": {"title": "Another"},
    "post P/sources/<source>/streams/": {"name": "ann", "config": {"query": "SELECT * FROM customers"}},
    "patch P/sources/<source>/streams/<name>/": {"config": {}},
    "post P/sources/<source>/streams/<name>/try/": {"config": {}},
    "post P/sources/<source>/streams/<name>/read-so/": {"settings": {"delimiter": ","}},
    "post P/pipelines/": {"slug": "other"},
    "post P/pipelines/validate/": {"text": DOCUMENT},
    "post P/pipelines/apply/": {"text": DOCUMENT},
    "put P/pipelines/<slug>/draft/": {"text": DOCUMENT},
    "post P/pipelines/<slug>/clone/": {"slug": "copy"},
    "post P/runs/<pk>/decide/": {"answer": "continue"},
    "post P/pipelines/<pipeline>/hooks/": {"name": "another"},
    "patch P/pipelines/<pipeline>/hooks/<pk>/": {"enabled": False},
    "post P/pipelines/<pipeline>/backfills/": {"from": "2025-12-01", "to": "2025-12-03"},
    "post P/pipelines/<pipeline>/backfills/preview/": {"from": "2025-12-01", "to": "2025-12-03"},
    "post P/schedules/preview/": {"schedule": {"preset": "daily"}},
    "put P/pipelines/<slug>/schedule/": {"schedule": {"preset": "daily"}},
    "put P/pipelines/<slug>/retries/": {"retry": {"attempts": 2}},
    "put P/sources/<slug>/cost/": {"budget": "5.00"},
    "put P/datasets/<slug>/freshness/": {"by": "09:00"},
    "put P/sources/<source>/streams/<name>/freshness/": {"by": "09:00"},
    "post P/queries/": {"sql": "SELECT count(*) FROM orders"},
    "post P/saved-queries/": {"title": "All orders", "sql": "SELECT * FROM orders"},
}


def address_of(row: str, address: str, furnished: Furnished) -> str:
    other = {
        "post P/runs/<pk>/cancel/": {"runs": str(furnished.running.pk)},
        "post P/runs/<pk>/pause/": {"runs": str(furnished.running.pk)},
        "post P/runs/<pk>/retry/": {"runs": str(furnished.cancelled.pk)},
        "post P/sources/<source>/streams/": {"sources": "db"},
        "post P/queries/<pk>/cancel/": {"queries": str(furnished.asking.pk)},
    }
    values = furnished.values | other.get(row, {}) | ({"sources": "given"} if "/uploads/" in address else {})
    return "/api/v1/" + re.sub(r"([a-z-]+)/<\w+>", lambda found: f"{found[1]}/{values[found[1]]}", address)


def test_every_endpoint_has_a_row() -> None:
    there = {
        (verb, address.removeprefix("/api/v1/"))
        for address, view in endpoints()
        for verb in view.actions
        if verb != "head"
    }
    assert {(verb, address) for verb, address, _ in ROWS} == there
    assert len(ROWS) == len(there)


@pytest.mark.parametrize(("verb", "address", "says"), ROWS, ids=[f"{verb} {address}" for verb, address, _ in ROWS])
@pytest.mark.parametrize("who", PEOPLE)
def test_each_may_do_what_the_table_says(
    *, furnished: Furnished, api: Api, who: str, verb: str, address: str, says: dict[str, str]
) -> None:
    row = f"{verb} {address.replace('projects/<project>/', 'P/')}"
    person = furnished.people.get(who)
    if person is not None:
        # Another test has changed it, and its change is undone where it is kept.
        person.refresh_from_db()
    if person is not None and address == "me/password/":
        person.set_password(PASSWORD)
        person.save()
    body = BODIES.get(row, {}) if verb != "get" else None
    if address == "me/join/":
        body = {"invitation": furnished.link}
    answer = getattr(api(person), verb)(address_of(row, address, furnished), body)
    got = "yes" if answer.status_code < 300 else str(answer.status_code)
    assert got == says[who], b"".join(answer) if answer.streaming else answer.content
    if got != "yes":
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("words", "says"), parsed(API_REMEMBERED), ids=["accept", "decide"])
@pytest.mark.parametrize("who", PEOPLE)
def test_whoever_changes_sources_has_an_answer_remembered(
    *, furnished: Furnished, api: Api, who: str, words: list[str], says: dict[str, str]
) -> None:
    row = " ".join(words)
    if (person := furnished.people.get(who)) is not None:
        person.refresh_from_db()
    address = address_of(row, words[1].replace("P/", "projects/<project>/"), furnished)
    answer = api(person).post(address, BODIES.get(row, {}) | {"remember": True})
    assert ("yes" if answer.status_code < 300 else str(answer.status_code)) == says[who], answer.content
