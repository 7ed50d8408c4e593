"""`manifold sources`: no secret on the command line, and a source that fails its test says at which stage."""

from __future__ import annotations

import re
import shutil
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from manifold.client import Client
from tests.served import Served

pytestmark = pytest.mark.django_db

_page = Client.page


@pytest.fixture
def database(module_postgres_url: str) -> tuple[list[str], str]:
    """The settings of a PostgreSQL source as words of the command, and its password."""
    parts = urlsplit(module_postgres_url)
    values = {"host": parts.hostname, "port": parts.port, "database": parts.path[1:], "user": parts.username}
    values |= {"sslmode": "disable"}
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")], unquote(
        parts.password or ""
    )


def test_it_works(served: Served, database: tuple[list[str], str]) -> None:
    settings, password = database
    words = ["sources", "add", "shop", "--connector", "postgresql", *settings, "--secret", "password"]
    result = served.manifold(*words, given=f"{password}\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("ok ") and "shop: added\n" in result.stdout
    assert "public.customers" in result.stdout
    assert password not in result.output
    assert served.manifold("sources", "test", "shop").exit_code == 0
    assert served.json("sources", "test", "shop")["ok"] is True
    found = served.json("sources", "discover", "shop")
    assert [each["name"] for each in found["results"]] == ["public.customers"]
    assert served.json("sources", "discover", "shop", "--stream", "public.others")["results"] == []
    lines = served.manifold("sources", "preview", "shop", "public.customers").stdout.splitlines()
    assert lines == ["id   name", "ann  Ann", "ben  Ben"]
    # A password that was changed on the server is entered as the first one was, without standing in a command line.
    other = ("sources", "change", "shop", "--secret", "password")
    assert served.manifold(*other, given="another\n").exit_code == 0
    assert served.manifold("sources", "test", "shop").exit_code == 1
    assert served.manifold(*other, given=f"{password}\n").exit_code == 0
    # What was to write it has failed: the one that is there stays.
    for given in ("", "\n"):
        refused = served.manifold(*other, given=given)
        assert (refused.exit_code, "no line for password" in refused.stderr) == (2, True), refused.output
    assert served.manifold("sources", "test", "shop").exit_code == 0


def test_a_source_is_removed_unless_a_pipeline_reads_it(served: Served) -> None:
    folder = served.made.folder / "drop"
    served.manifold("sources", "add", "spare", "--connector", "local_files", "--set", f"path={folder}")
    (first, *_) = served.json("sources", "discover", "spare")["results"]
    assert served.manifold("sources", "remove", "spare", first["name"]).stdout == "removed\n"
    left = served.client().in_project("GET", "sources/spare/streams/")["results"]
    assert first["name"] not in {each["name"] for each in left}
    assert served.manifold("sources", "remove", "spare", who="operator").exit_code == 4
    assert served.manifold("sources", "remove", "spare").stdout == "removed\n"
    assert "spare" not in {each["slug"] for each in served.json("sources", "list")["results"]}
    used = served.manifold("sources", "remove", "drop")
    assert used.exit_code == 1 and "is used by orders" in used.stderr


def test_a_source_is_writable_only_when_somebody_says_so(served: Served, database: tuple[list[str], str]) -> None:
    settings, password = database
    words = ["sources", "add", "target", "--connector", "postgresql", *settings, "--secret", "password"]
    served.manifold(*words, given=f"{password}\n")
    found = served.json("sources", "list")["results"]
    assert [each["writable"] for each in found if each["slug"] == "target"] == [False]
    said = served.manifold("sources", "change", "target", "--writable").stdout
    assert said == "target: changed; pipelines may load into its tables\n"
    assert served.manifold("sources", "change", "target", "--check-every", "600").stdout == "target: changed\n"
    assert served.json("sources", "change", "target", "--title", "Target")["writable"] is True
    assert served.json("sources", "change", "target", "--read-only")["writable"] is False
    assert served.manifold("sources", "change", "target").exit_code == 2
    refused = served.manifold("sources", "change", "drop", "--writable")
    assert refused.exit_code == 2 and "cannot be written to" in refused.stderr


def test_a_list_is_written_with_commas_or_as_json(served: Served) -> None:
    words = ["sources", "add", "orders", "--connector", "kafka", "--set", "servers=127.0.0.1:1, 127.0.0.1:2"]
    served.manifold(*words, "--set", "topics=2024", "--anyway")
    (params,) = [each["params"] for each in served.json("sources", "list")["results"] if each["slug"] == "orders"]
    assert (params["servers"], params["topics"]) == (["127.0.0.1:1", "127.0.0.1:2"], ["2024"])
    change = ["sources", "change", "orders", "--set"]
    assert served.json(*change, "servers=127.0.0.1:3")["params"]["servers"] == ["127.0.0.1:3"]
    assert served.json(*change, 'topics=["a,b", "c"]')["params"]["topics"] == ["a,b", "c"]
    assert served.json(*change, 'topics="a,b"')["params"]["topics"] == ["a,b"]
    refused = served.manifold(*change, 'servers={"a": 1}')
    assert refused.exit_code == 2 and "on a command line also first,second" in refused.stderr
    served.manifold("sources", "remove", "orders")


def test_a_wrong_secret_is_told_at_its_stage(served: Served, database: tuple[list[str], str]) -> None:
    words = ["sources", "add", "locked", "--connector", "postgresql", *database[0], "--secret", "password"]
    assert "Nothing is stored" in served.manifold(*words, given="wrong-canary\n").stdout
    assert served.manifold("sources", "test", "locked").exit_code == 2
    result = served.manifold(*words, "--anyway", given="wrong-canary\n")
    assert result.exit_code == 1
    assert "failed  " in result.stdout and "password" in result.stdout
    assert "wrong-canary" not in result.output
    answer = served.json("sources", "test", "locked", code=1)
    assert answer["stages"][-1]["error"]["code"] == "authentication"
    result = served.manifold("sources", "discover", "locked")
    assert (result.exit_code, result.stderr.startswith("manifold: ")) == (2, True)


def test_a_folder_that_may_not_be_read_is_told_once(served: Served) -> None:
    result = served.manifold("sources", "add", "etc", "--connector", "local_files", "--set", "path=/etc")
    assert result.exit_code == 1
    assert result.stdout.count("is not below an allowed folder") == 1
    assert "MANIFOLD_FILE_ROOTS" in result.stdout


def test_types_are_tried_before_they_are_changed(served: Served) -> None:
    words = ["sources", "types", "drop", "orders"]
    assert "customer" in served.manifold(*words).stdout
    before = served.json(*words)
    refused = served.manifold(*words, "--set", "customer=BIGINT")
    assert refused.exit_code == 1 and "customer is not BIGINT" in refused.stdout and "--anyway" in refused.stderr
    assert served.json(*words, "--set", "customer=BIGINT", code=1)["rejected"] == 3
    assert served.json(*words, "--set", "amount=DOUBLE", "--dry-run")["rows"] == 3
    assert served.json(*words) == before
    assert served.json(*words, "--set", "amount=DOUBLE")["columns"][2]["type"] == "DOUBLE"
    assert served.manifold(*words, "--set", "id=DATE", "--anyway").stdout.splitlines()[-1].startswith("orders: saved")
    assert served.manifold(*words, "--set", "nothing=DATE").exit_code == 2
    assert served.manifold(*words, "--set", "id=NONSENSE").exit_code == 2
    served.manifold(
        *words, *[word for each in before["columns"] for word in ("--set", f"{each['name']}={each['type']}")]
    )
    assert served.json(*words)["columns"] == before["columns"]


def test_how_files_are_read_is_changed_after_they_are_stored(served: Served) -> None:
    folder = served.made.folder / "drop" / "told"
    folder.mkdir()
    (folder / "a.csv").write_text("id,note\n1,x\n")
    served.manifold("sources", "add", "told", "--connector", "local_files", "--set", f"path={folder}")
    (folder / "a.csv").write_text("id;note\n1;x\n")
    words = ["sources", "read", "told", "a"]
    shown = served.manifold(*words, "delimiter=;", "--dry-run").stdout
    assert "note" in shown and "1 rows would arrive" in shown and "saved" not in shown
    assert served.json(*words, "delimiter=;", "header=true")["saved"] is True
    assert [each["name"] for each in served.json("sources", "types", "told", "a")["columns"]] == ["id", "note"]
    assert served.manifold(*words, "delimiter").exit_code == 2
    assert "settings.delimiter" in served.manifold(*words, "delimiter=ab").stderr
    served.client().in_project("DELETE", "sources/told/")
    shutil.rmtree(folder)


def test_lists_are_what_the_api_answers(served: Served) -> None:
    client = served.client()
    assert served.json("sources", "list") == client.in_project("GET", "sources/")
    assert served.json("sources", "connectors") == client.call("GET", "connectors/")
    assert served.json("sources", "files", "drop") == client.in_project("GET", "sources/drop/files/")
    assert served.manifold("sources", "list").stdout.splitlines()[0].split()[0] == "source"
    assert "local_files" in served.manifold("sources", "connectors").stdout
    assert "orders-2026-01.csv" in served.manifold("sources", "files", "drop").stdout
    preview = served.json("sources", "preview", "drop", "orders")
    assert [each["name"] for each in preview["columns"]] == ["id", "customer", "amount", "ordered_at"]


def test_a_long_list_is_narrowed(served: Served) -> None:
    narrowed = ("sources", "list", "--name", "DRO", "--connector", "local_files")
    assert [each["slug"] for each in served.json(*narrowed)["results"]] == ["drop"]
    assert "drop" in served.manifold(*narrowed).stdout
    assert "No source fits what was asked for." in served.manifold(*narrowed, "--health", "error").output
    assert served.json(*narrowed, "--health", "error")["results"] == []


def test_a_file_is_ignored_and_taken_in_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    name = served.json("sources", "files", "drop")["results"][0]["path"]
    looked: list[dict[str, Any]] = []

    def page(client: Client, path: str, limit: int, /, **params: Any) -> Any:
        looked.append(_page(client, path, limit, **params))
        return looked[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Client, "page", page)
        assert [each["ignored"] for each in served.json("sources", "ignore", "drop", name)] == [True]
    assert [each["path"] for answer in looked for each in answer["results"]] == [name]
    assert any(
        name in line and "ignored" in line for line in served.manifold("sources", "files", "drop").stdout.split("\n")
    )
    assert "taken in again" in served.manifold("sources", "ignore", "drop", name, "--undo").stdout
    assert not served.json("sources", "files", "drop")["results"][0]["ignored"]
    refused = served.manifold("sources", "ignore", "drop", name, "nowhere.csv")
    assert (refused.exit_code, "No file nowhere.csv was seen in drop" in refused.stderr) == (2, True)
    assert not served.json("sources", "files", "drop")["results"][0]["ignored"]


def test_no_streams_are_told(served: Served) -> None:
    empty = served.made.folder / "drop" / "empty"
    empty.mkdir()
    result = served.manifold("sources", "add", "empty", "--connector", "local_files", "--set", f"path={empty}")
    assert "Nothing to read was found" in result.stdout or result.exit_code == 1


def test_what_is_wrong_with_a_file_is_told(served: Served) -> None:
    folder = served.made.folder / "drop" / "unfit"
    folder.mkdir()
    (folder / "a.csv").write_text("id,,name\n1,,x\n2,,y,y\n3,,z\n")
    result = served.manifold("sources", "add", "unfit", "--connector", "local_files", "--set", f"path={folder}")
    assert result.exit_code == 0, result.output
    said = "a: The header has empty or repeated names; so columns are called column1 (column 2 has no name). "
    assert served.manifold("sources", "discover", "unfit").stderr.startswith(said)
    shown = served.manifold("sources", "preview", "unfit", "a")
    assert (
        "1 row of what was looked at would be set aside:\n  a.csv, line 3: too many columns: 2,,y,y\n" in shown.stderr
    )
    served.client().in_project("DELETE", "sources/unfit/")


def test_streams_without_columns_are_told_with_where_it_says_why(served: Served) -> None:
    folder = served.made.folder / "drop" / "cut"
    folder.mkdir()
    (folder / "a.csv").write_text("id\n1\n")
    (folder / "cut.parquet").write_bytes(b"PAR1 and no more")
    result = served.manifold("sources", "add", "cut", "--connector", "local_files", "--set", f"path={folder}")
    assert result.exit_code == 0, result.output
    said = "Without columns: cut. `manifold sources preview cut STREAM` tells why.\n"
    assert result.stderr.endswith(said)
    told = served.manifold("sources", "discover", "cut").stderr
    assert told.startswith("cut: ")
    assert told.splitlines()[0].count("cut.parquet") == 1
    assert told.endswith(said)
    assert len(told.splitlines()) == 2
    assert "cut.parquet" in served.manifold("sources", "preview", "cut", "cut").stderr
    assert "of any stream of cut has changed since" in served.manifold("sources", "drift", "cut").stdout
    nothing = served.manifold("sources", "drift", "cut", "cut").stdout
    assert re.fullmatch(r"No column of cut has changed since 20\d\d-.*, when it was discovered\.\n", nothing)
    served.client().in_project("DELETE", "sources/cut/")
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["test", "nothing"], 2, "There is no source `nothing`"),
        (["preview", "drop", "nothing"], 2, "There is no stream `nothing`"),
        (["preview", "drop", "a/../b?x=1#"], 2, "manifold: "),
        (["files", "nothing"], 2, "There is no source `nothing`"),
        (["add", "x", "--connector", "nonsense"], 2, "nonsense"),
        (["add", "x", "--connector", "local_files", "--set", "path"], 2, "is not NAME=VALUE"),
        (["add", "x", "--connector", "local_files", "--set", "folder=/x"], 2, "params.folder"),
        (["add", "Not A Slug", "--connector", "local_files", "--set", "path=DROP"], 2, "slug"),
        (["add", "drop", "--connector", "local_files", "--set", "path=DROP"], 1, "drop"),
    ],
)
def test_wrong_words(served: Served, words: list[str], code: int, said: str) -> None:
    drop = str(served.made.folder / "drop")
    result = served.manifold("sources", *[each.replace("DROP", drop) for each in words])
    assert (result.exit_code, said in result.stderr) == (code, True), result.output


def test_health_tells_how_it_is_and_how_its_tests_went(served: Served) -> None:
    result = served.manifold("sources", "health", "drop")
    assert result.exit_code == 3
    assert result.stdout.startswith("health") and "unknown" in result.stdout
    assert served.manifold("sources", "test", "drop").exit_code == 0
    result = served.manifold("sources", "health", "drop", "--days", "1")
    assert result.exit_code == 0
    assert "1, 0 failed" in result.stdout and "100.0%" in result.stdout
    served.manifold("sources", "change", "drop", "--check-every", "0")
    assert "by hand only" in served.manifold("sources", "health", "drop").stdout
    assert served.manifold("sources", "change", "drop", "--check-every", "5").exit_code == 2


def test_until_when_secrets_are_good_is_said_and_taken_back(served: Served) -> None:
    def day() -> str | None:
        found = served.json("sources", "list")["results"]
        slug = next(each["credential"] for each in found if each["slug"] == "db")
        credentials = served.client().each("credentials/")
        return next(each["expires_on"] for each in credentials if each["slug"] == slug)

    assert served.manifold("sources", "change", "db", "--secrets-expire", "2030-12-31").exit_code == 0
    assert day() == "2030-12-31"
    assert served.manifold("sources", "change", "db", "--secrets-expire", "never").exit_code == 0
    assert day() is None
    assert served.manifold("sources", "change", "db", "--secrets-expire", "soon").exit_code == 2
    refused = served.manifold("sources", "change", "drop", "--secrets-expire", "2030-12-31")
    assert refused.exit_code == 2 and "no secrets that could expire" in refused.stderr


def test_the_history_is_shown_and_saved(served: Served) -> None:
    said = served.manifold("sources", "history", "drop").stdout.splitlines()
    assert said[0].split()[:4] == ["at", "source", "stream", "state"]
    assert any("orders" in each and "succeeded" in each for each in said[1:])
    assert served.json("sources", "history", "--state", "failed")["results"] == []
    run, bounds = str(served.made.succeeded.pk), ["--rows-min", "3", "--rows-max", "3", "--bytes-max", "1000000"]
    fitting = ["--state", "failed", "--state", "succeeded", "--pipeline", "orders", "--run", run, *bounds]
    assert [each["run"] for each in served.json("sources", "history", *fitting)["results"]] == [run]
    assert served.json("sources", "history", *fitting, "--bytes-min", "1000001")["results"] == []
    target = served.made.folder / "narrowed.csv"
    assert served.manifold("sources", "history", "-o", str(target), *fitting).exit_code == 0
    assert len(target.read_text().splitlines()) == 2
    target = served.made.folder / "saved.csv"
    assert served.manifold("sources", "history", "-o", str(target)).exit_code == 0
    assert target.read_text().startswith("id,at,source,stream")
    assert served.manifold("sources", "history", "-o", str(target)).exit_code == 2
