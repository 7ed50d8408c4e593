"""`manifold sources add`: from an address, of some streams, asked for one thing after the other."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.dataplane.connectors.rest.api import serving_orders
from tests.served import Served

pytestmark = pytest.mark.django_db


@pytest.fixture
def address(module_postgres_url: str) -> str:
    return urlsplit(module_postgres_url)._replace(scheme="postgresql").geturl()


def kept(served: Served) -> set[str]:
    return {each["slug"] for each in served.json("sources", "list")["results"]}


def test_an_address_is_enough_and_its_password_is_not_printed(served: Served, address: str) -> None:
    secret = urlsplit(address).password or "none"
    result = served.manifold("sources", "add", "from-address", "--from", "-", given=f"{address}\n")
    assert result.exit_code == 0, result.output
    assert "from-address: added" in result.stdout and "public.customers" in result.stdout
    assert secret not in result.output
    source = next(each for each in served.json("sources", "list")["results"] if each["slug"] == "from-address")
    assert (source["connector"], source["secrets"], source["health"]) == ("postgresql", ["password"], "healthy")


def test_only_the_named_streams_are_kept_with_their_cursor_and_types(served: Served, address: str) -> None:
    stream = [
        "--stream",
        "public.customers",
        "--cursor",
        "public.customers=id",
        "--type",
        "public.customers:id=VARCHAR",
    ]
    answer = served.json("sources", "add", "few", "--from", "-", *stream, given=f"{address}\n")
    assert answer["check"]["ok"] is True
    found: list[dict[str, Any]] = answer["streams"]["results"]
    assert [(each["name"], each["config"]["cursor"]) for each in found] == [("public.customers", "id")]


@pytest.fixture
def wages(served: Served) -> Iterator[Path]:
    folder = served.made.folder / "drop" / "wages"
    folder.mkdir()
    (folder / "wages.fwf").write_text("000001Meier  1200.50\n000002Schmidt 980.00\n")
    yield folder
    shutil.rmtree(folder)


def test_how_files_are_read_is_said_with_their_stream(served: Served, wages: Path) -> None:
    read = ["--stream", "wages", "--read", 'wages:positions=["id 1-6", "name 7-13", "sum 14-20"]']
    answer = served.json("sources", "add", "wages", "--from", str(wages), *read)
    (found,) = answer["streams"]["results"]
    assert {each["name"]: each["type"] for each in found["columns"]} == {
        "id": "VARCHAR",
        "name": "VARCHAR",
        "sum": "DECIMAL(15,2)",
    }


def test_of_a_file_that_is_named_only_its_own_stream_is_kept(
    served: Served, wages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wages / "hours-2026-01.csv").write_text("id,hours\n1,8\n")
    (wages / "hours-2026-02.csv").write_text("id,hours\n2,7\n")
    monkeypatch.setenv("HOME", str(wages.parent))
    result = served.manifold("sources", "add", "hours", "--from", "~/wages/hours-2026-01.csv")
    assert "Only hours-2026-01.csv and files called like it are read." in result.stdout, result.output
    streams = served.client().in_project("GET", "sources/hours/streams/")["results"]
    assert [each["name"] for each in streams] == ["hours"]
    assert served.json("sources", "detect", "~/wages")["candidates"][0]["params"] == {"path": str(wages)}
    added = served.json("sources", "discover", "hours")["results"]
    assert [each["name"] for each in added] == ["hours", "wages"]


def test_of_an_archive_that_is_named_only_what_is_in_it_is_kept(served: Served, wages: Path) -> None:
    with zipfile.ZipFile(wages / "day-2026-01.ZIP", "w") as archive:
        archive.writestr("orders.csv", "id,n\n1,2\n")
        archive.writestr("inner/returns.csv", "id,why\n1,late\n")
    result = served.manifold("sources", "add", "zipped", "--from", f"{wages}/day-2026-01.ZIP")
    assert "Only day-2026-01.ZIP and files called like it are read." in result.stdout, result.output
    streams = served.client().in_project("GET", "sources/zipped/streams/")["results"]
    assert sorted(each["name"].rpartition("_")[2] for each in streams) == ["orders", "returns"]


def test_it_is_said_where_a_name_fits_no_stream(served: Served, wages: Path) -> None:
    result = served.manifold("sources", "add", "dotted", "--from", str(wages.rename(wages.with_name("wages.d"))))
    (wages.parent / "wages.d").rename(wages)
    assert "No stream is known by the name of wages.d, so all that were found are kept." in result.stdout, result.output
    streams = served.client().in_project("GET", "sources/dotted/streams/")["results"]
    assert [each["name"] for each in streams] == ["wages"]


def test_one_is_asked_for_what_is_missing(served: Served) -> None:
    drop = str(served.made.folder / "drop")
    answers = [drop, "orders", "Asked for", ""]
    result = served.manifold("sources", "add", "--ask", given="\n".join(answers) + "\n")
    assert "asked-for: added" in result.stdout, result.output
    streams = served.json("sources", "discover", "asked-for", "--stream", "orders")["results"]
    assert [each["name"] for each in streams] == ["orders"]


def test_an_ambiguous_one_is_asked_about(served: Served) -> None:
    result = served.manifold("sources", "add", "x", "--from", "https://example.org/export")
    assert result.exit_code == 2 and "It is not clear what that is" in result.stderr
    asked = served.manifold("sources", "add", "x", "--ask", "--from", "https://127.0.0.1:1/x", given="http_files\n\n\n")
    assert asked.exit_code == 1 and "Nothing is stored" in asked.stdout
    assert "x" not in kept(served)


def test_one_is_asked_how_one_signs_in_and_only_for_what_that_needs(served: Served) -> None:
    given = "https://127.0.0.1:1/orders.csv"
    asked = served.manifold(
        "sources", "add", "x", "--ask", "--connector", "http_files", "--from", given, given="header\nX-Key\nk\n"
    )
    assert "Sign in with" in asked.stdout and "Header: " in asked.stdout and "Token: " in asked.stdout, asked.output
    assert "Password" not in asked.stdout and "Nothing is stored" in asked.stdout
    place = ("--set", "host=127.0.0.1", "--set", "port=1", "--set", "user=u")
    asked = served.manifold("sources", "add", "x", "--ask", "--connector", "sftp", *place, given="password\np\n")
    assert "Sign in with (password, key)" in asked.stdout and "Private key" not in asked.stdout, asked.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x"], "Say what it is"),
        ([], "Give it a name"),
        (["x", "--from", "hello"], "not clear"),
        (["x", "--connector", "uploads", "--cursor", "a=b"], "STREAM=COLUMN"),
        (["x", "--connector", "uploads", "--type", "a=b"], "STREAM:COLUMN=TYPE"),
        (["x", "--connector", "uploads", "--read", "a=b"], "STREAM:NAME=VALUE"),
    ],
    ids=["nothing", "no name", "unknown", "cursor", "type", "read"],
)
def test_what_cannot_be_understood_is_said(served: Served, words: list[str], said: str) -> None:
    result = served.manifold("sources", "add", *words)
    assert result.exit_code == 2 and said in result.stderr, result.output
    assert "ok " not in result.stdout, "it was tested before the words were looked at"
    assert "x" not in kept(served)


def test_one_whose_streams_cannot_be_looked_for_is_said_to_be_there(served: Served, settings: Any) -> None:
    settings.NET_ALLOW = ("127.0.0.0/8",)
    with serving_orders() as api:
        api.admits = lambda headers, query: query.get("page") != "2"
        given = [f"base_url={api.base}", "records=data.orders", 'streams=["orders /page pagination=page"]']
        words = [word for each in given for word in ("--set", each)]
        result = served.manifold("sources", "add", "halved", "--connector", "rest", *words)
    assert result.exit_code and "does not let us in" in result.stderr, result.output
    assert "halved: added" in result.stdout and "halved" in kept(served), result.output


def test_what_stands_against_its_cursors_is_told(served: Served, address: str) -> None:
    stream = ["--stream", "public.customers", "--cursor", "public.customers=name"]
    served.manifold("sources", "add", "checked", "--from", "-", *stream, given=f"{address}\n")
    result = served.manifold("sources", "preflight", "checked")
    assert result.exit_code == 1
    assert 'CREATE INDEX CONCURRENTLY ON "public"."customers" ("name");' in result.stdout
    assert served.json("sources", "preflight", "checked", code=1)["results"][-1]["code"] == "cursor_unindexed"
    assert "Nothing stands against it." in served.manifold("sources", "preflight", "drop").stdout
