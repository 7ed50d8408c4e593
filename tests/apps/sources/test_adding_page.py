"""The steps of adding a source, as the browser asks for them: only the last stores anything, no secret comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.template.loader import render_to_string
from django.test import Client

from apps.accounts.models import Project, User
from apps.sources.models import Credential, Source, Stream
from tests.apps.sources.conftest import CANARY
from tests.forms import filled

pytestmark = pytest.mark.django_db
NEW = "/p/flights/new-source/"


@pytest.fixture
def client(client: Client, admin: User, project: Project) -> Client:
    client.force_login(admin)
    return client


def said(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.fixture
def entered(params: dict[str, Any]) -> dict[str, Any]:
    """What the browser sends: the password stands in what was pasted, its field is empty."""
    given = {f"param-{name}": value for name, value in params.items() if name != "password"}
    text = f"postgresql://x:{quote(params['password'], safe='')}@y/z"
    return {"title": "Reference", "slug": "", "text": text, "param-password": "", **given}


def test_what_is_pasted_becomes_a_form_without_its_password(client: Client) -> None:
    answer = client.post(NEW, {"text": f"postgresql://reader:{CANARY}@db.example.org/sales"})
    assert answer.headers["HX-Retarget"] == "#connection"
    assert 'value="db.example.org"' in said(answer) and "known from what you pasted" in said(answer)
    assert CANARY not in said(answer)


def test_what_is_not_clear_is_asked_and_what_nobody_knows_is_said(client: Client) -> None:
    asked = said(client.post(NEW, {"text": "https://example.org/export"}))
    assert "Take REST API" in asked and "Take Downloads" in asked
    form = said(client.post(f"{NEW}rest/", {"do": "form", "text": "https://example.org/export"}))
    assert 'value="https://example.org"' in form
    assert "No connector knows" in said(client.post(NEW, {"text": "hello", "sample": "%"}))
    assert "SQLite" in said(client.post(NEW, {"sample": "U1FMaXRlIGZvcm1hdCAzAA==", "name": "shop.db"}))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ({"title": "注文"}, "None can be made from this title"),
        ({"slug": "detect"}, "an address of the API"),
        ({"slug": "Shop"}, "small letters"),
    ],
)
def test_a_name_that_cannot_be_given_is_told_before_anybody_waits(
    client: Client, entered: dict[str, Any], name: dict[str, str], told: str
) -> None:
    answer = said(client.post(f"{NEW}postgresql/", {**entered, **name, "do": "next"}))
    assert told in answer and "it works" not in answer


def test_each_step_leads_to_the_next_and_the_last_one_stores(client: Client, entered: dict[str, Any]) -> None:
    address = f"{NEW}postgresql/"
    assert "it works" in said(client.post(address, {**entered, "do": "test"}))
    streams = client.post(address, {**entered, "do": "next"})
    assert streams.headers["HX-Retarget"] == "#streams"
    assert 'value="public.flights"' in said(streams) and "new by id" in said(streams)
    chosen = {**entered, "stream": ["public.flights"], "cursor-public.flights": "id"}
    types = client.post(address, {**chosen, "do": "types"})
    assert types.headers["HX-Retarget"] == "#types"
    assert 'value="DECIMAL(10,2)"' in said(types) and "a first run reads 8.2 kB" in said(types)
    columns = {"chosen-0": "public.flights", "column-0-1": "fare", "found-0-1": "DECIMAL(10,2)", "type-0-1": "DOUBLE"}
    assert "All 2 rows" in said(client.post(address, {**chosen, **columns, "do": "sample", "at": "0"}))
    assert not Source.objects.exists() and not Credential.objects.exists()
    saved = client.post(address, {**chosen, **columns, "do": "save"}, headers={"HX-Request": "true"})
    assert saved.headers["HX-Redirect"] == "/p/flights/sources/reference/"
    stream = Stream.objects.get()
    assert stream.config["cursor"] == "id"
    assert {each["name"]: each["type"] for each in stream.config["columns"]}["fare"] == "DOUBLE"
    assert Source.objects.get().health == "healthy"


def test_a_wrong_password_stops_it_and_may_be_stored_all_the_same(client: Client, entered: dict[str, Any]) -> None:
    address, wrong = f"{NEW}postgresql/", {**entered, "param-password": CANARY}
    answer = said(client.post(address, {**wrong, "do": "next"}))
    assert "Authenticate" in answer and "Nothing has been saved" in answer and CANARY not in answer
    assert "does not accept the password" in said(client.post(address, {**wrong, "do": "save"}))
    assert not Source.objects.exists()
    client.post(address, {**wrong, "do": "anyway"})
    assert Source.objects.get().health == "error"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"title": ""}, "Give it a title."),
        ({"param-host": ""}, "Host"),
        ({"do": "types"}, "Choose at least one"),
        ({"do": "sample", "at": "7"}, "There is no stream"),
        ({"do": "save", "chosen-0": "public.gone"}, "There is no stream public.gone"),
    ],
    ids=["title", "host", "no stream", "no place", "gone"],
)
def test_what_is_wrong_is_said_where_it_was_entered(
    changed: dict[str, str], words: str, client: Client, entered: dict[str, Any]
) -> None:
    assert words in said(client.post(f"{NEW}postgresql/", {**entered, "do": "next", **changed}))
    assert not Source.objects.exists()


def test_a_name_that_is_taken_is_told_before_anybody_waits(client: Client, entered: dict[str, Any]) -> None:
    client.post(f"{NEW}postgresql/", {**entered, "do": "save"})
    assert "There is a source reference already" in said(client.post(f"{NEW}postgresql/", {**entered, "do": "next"}))


def test_a_source_of_uploads_is_stored_at_once(client: Client) -> None:
    answer = client.post(f"{NEW}uploads/", {"title": "Given", "do": "next"}, headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"] == "/p/flights/sources/given/"


def test_how_files_are_read_is_changed_before_it_is_stored(client: Client, tmp_path: Path, settings: Any) -> None:
    settings.FILE_ROOTS = [tmp_path]
    (tmp_path / "sums.csv").write_text("id;amount,net\n1;2,5\n2;3,5\n")
    address, draft = f"{NEW}local_files/", {"title": "Drop", "param-path": str(tmp_path), "stream": ["sums"]}
    offered = said(client.post(address, {**draft, "do": "next"}))
    assert "sums.csv, 1 file" in offered
    card = said(client.post(address, {**draft, "do": "types"}))
    assert "a first run reads 26 B" in card
    assert 'value="id;amount"' in card and 'name="0-param-delimiter" value=","' in card
    given = filled(card)
    wrong = said(client.post(address, {**draft, **given, "0-param-delimiter": "ab", "do": "again", "at": "0"}))
    assert "<strong>Delimiter</strong>: " in wrong
    given["0-param-delimiter"] = ";"
    for name, value, words in (("encoding", "utf-16", "cannot be read as utf-16"), ("skip", "10", "Skip fewer")):
        answer = client.post(address, {**draft, **given, f"0-param-{name}": value, "do": "again", "at": "0"})
        assert answer.status_code < 500 and words in said(answer)
    again = client.post(address, {**draft, **given, "do": "again", "at": "0"})
    assert again.headers["HX-Retarget"] == "#stream-0"
    shown = filled(said(again))
    assert shown["column-0-1"] == "amount,net" and shown["found-0-1"] == "DOUBLE"
    assert shown["0-param-decimal_separator"] == ","
    back = filled(said(client.post(address, {**draft, **shown, "0-param-delimiter": ",", "do": "again", "at": "0"})))
    assert (back["column-0-0"], back["0-param-decimal_separator"]) == ("id;amount", "."), "what was found is no wish"
    assert json.loads(back["given-0"]) == {"delimiter": ","}
    assert ">3.5<" in said(client.post(address, {**draft, **shown, "do": "sample", "at": "0"}))
    client.post(address, {**draft, **shown, "do": "save"}, headers={"HX-Request": "true"})
    config = Stream.objects.get().config
    assert [each["name"] for each in config["columns"]] == ["id", "amount,net"]
    assert (config["settings"]["delimiter"], config["settings"]["decimal_separator"]) == (";", ",")


@pytest.mark.parametrize(
    ("family", "rows", "size", "told"),
    [
        ("file", 1, 0, "about 1 row, 0 B"),
        ("database", 125432, 8192, "about 125,432 rows, 8.2 kB on its server's disk"),
        ("database", 125432, None, "about 125,432 rows"),
        ("file", None, 1200, "1.2 kB"),
        ("api", None, None, "all there is, how much is not known"),
    ],
    ids=["both", "database", "rows", "bytes", "neither"],
)
def test_what_a_first_run_reads_is_told_where_it_is_known(
    family: str, rows: int | None, size: int | None, told: str
) -> None:
    context = {"info": {"rows": rows, "bytes": size}, "connector": {"family": family}}
    assert render_to_string("sources/parts/first_read.html", context) == f"a first run reads {told}\n"
