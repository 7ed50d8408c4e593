"""A changed declaration is tried on a sample before it is kept: through the API and on the stream's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project, User
from apps.audit.context import SYSTEM
from apps.audit.models import Event
from apps.audit.refusals import Conflict
from apps.sources import services
from apps.sources.models import Source, Stream
from apps.sources.pages import file_settings
from apps.sources.parameters import InvalidFields
from apps.sources.services import trying
from apps.sources.streams import seen_columns
from dataplane import drift as drifts
from dataplane.connectors import registry
from dataplane.connectors.reading import Rejected
from dataplane.connectors.schema import Column, StreamConfig
from tests.forms import filled
from tests.people import Api

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/flights/sources/drop/streams/orders/"


@pytest.fixture
def stream(project: Project, tmp_path: Path, settings: Any) -> Stream:
    settings.FILE_ROOTS = [tmp_path]
    (tmp_path / "orders.csv").write_text("id,note\n1,a\n2,b\nx3,c\n")
    source = services.create_source(
        project, slug="drop", title="", connector="local_files", params={"path": str(tmp_path)}, actor=SYSTEM
    )
    [found] = services.discover_streams(source, actor=SYSTEM)
    return found


def columns(stream: Stream, **types: str) -> list[dict[str, Any]]:
    return [{**each, "type": types.get(each["name"], each["type"])} for each in stream.config["columns"]]


def test_the_api_tries_and_keeps_nothing(api: Api, admin: User, stream: Stream) -> None:
    before = stream.config
    body = {"config": {"columns": columns(stream, id="BIGINT")}}
    tried = api(admin).post(f"{BASE}try/", body)
    assert tried.status_code == 200, tried.content
    found = tried.json()
    assert (found["rows"], found["rejected"], found["file"], found["error"]) == (2, 1, "orders.csv", None)
    told = {"file": "orders.csv", "row": 4, "place": "orders.csv, line 4", "reason": "id is not BIGINT", "raw": "x3,c"}
    assert found["samples"] == [told]
    stream.refresh_from_db()
    assert stream.config == before
    refused = api(admin).post(f"{BASE}try/", {"config": {"columns": columns(stream, id="NONSENSE")}})
    assert refused.status_code == 400 and refused.json()["errors"][0]["field"] == "config.columns.0.type"


def test_reading_files_otherwise_leaves_nothing_of_a_change_to_decide(
    api: Api, admin: User, stream: Stream, tmp_path: Path
) -> None:
    (tmp_path / "orders.csv").write_text("id;note\n1;a\n2;b\n")
    services.test_source(stream.source, actor=SYSTEM)
    now = (Column("id;note", "VARCHAR", native="text"),)
    found = drifts.Drift(now, drifts.compared(seen_columns(stream), now), asks=True)
    kept = services.note_drift(stream, found, run=None, actor=SYSTEM)
    assert kept is not None and Source.objects.get().health == "warning"
    ask = api(admin)
    assert ask.post(f"{BASE}read-so/", {"settings": {"delimiter": ";"}}).json()["saved"]
    kept.refresh_from_db()
    assert (kept.state, kept.settled_by, kept.seen_by) == ("followed", admin.username, admin.username)
    assert ask.post(f"{BASE}drift/{kept.pk}/accept/").status_code == 409
    assert Source.objects.get().health == "healthy"


@pytest.mark.parametrize(
    ("given", "names"),
    [({"format": "fixed"}, ["column0", "column1", "column2"]), ({"positions": ["id 1-2", "name 4-6"]}, ["id", "name"])],
    ids=["found", "given"],
)
def test_lines_taken_for_one_column_keep_their_first_row_when_they_are_read_by_position(
    *, api: Api, admin: User, stream: Stream, tmp_path: Path, given: dict[str, Any], names: list[str]
) -> None:
    (tmp_path / "orders.csv").write_text(" 1 Ann  12\n 2 Bob   7\n30 Cem 100\n")
    services.update_stream(stream, config={"settings": {"header": True}}, actor=SYSTEM)
    said = api(admin).post(f"{BASE}read-so/", {"settings": given}).json()
    assert ([each["name"] for each in said["columns"]], said["tried"]["rows"]) == (names, 3)
    stream.refresh_from_db()
    assert (stream.config["settings"]["format"], stream.config["settings"]["header"]) == ("fixed", False)


def test_how_files_are_read_is_changed_over_the_api(
    api: Api, admin: User, stream: Stream, tmp_path: Path, settings: Any
) -> None:
    (tmp_path / "orders.csv").write_text("id;note;net\n1;a;1,234\n2;b;7\n")
    stream.warnings = ["The files look otherwise now."]
    stream.save()
    ask = api(admin)
    only_tried = ask.post(f"{BASE}read-so/", {"settings": {"delimiter": ";"}, "dry_run": True}).json()
    assert [each["name"] for each in only_tried["columns"]] == ["id", "note", "net"]
    assert only_tried["warnings"][0].startswith("net: 1,234 may be 1.234 or 1234")
    assert (only_tried["tried"]["rows"], only_tried["saved"]) == (2, False)
    stream.refresh_from_db()
    assert stream.config["settings"]["delimiter"] == ","
    saved = ask.post(f"{BASE}read-so/", {"settings": {"delimiter": ";"}}).json()
    assert saved == {**only_tried, "saved": True}
    stream.refresh_from_db()
    assert (stream.config["settings"], stream.warnings) == (saved["settings"], saved["warnings"])
    assert [each["name"] for each in stream.seen] == ["id", "note", "net"], "a run takes none of them for new"
    assert Event.objects.filter(verb="stream changed", actor_name=admin.username).exists()
    services.update_stream(stream, config={"columns": columns(stream, id="DATE")}, actor=SYSTEM)
    unfit = ask.post(f"{BASE}read-so/", {"settings": {"encoding": "cp1252"}}).json()
    assert (unfit["tried"]["rejected"], unfit["saved"]) == (2, False), "a type that was chosen stays"
    assert ask.post(f"{BASE}read-so/", {"settings": {"encoding": "cp1252"}, "anyway": True}).json()["saved"]
    for wrong, field in (({"delimiter": "ab"}, "settings.delimiter"), ({"pattern": "*.none"}, "settings.pattern")):
        refused = ask.post(f"{BASE}read-so/", {"settings": wrong})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field)


def test_what_somebody_declares_while_the_place_is_looked_at_stays(stream: Stream) -> None:
    looked_at = Stream.objects.get(pk=stream.pk)
    declared = services.update_stream(stream, config={"names": {"note": "remark"}}, actor=SYSTEM).config
    with pytest.raises(Conflict, match="was changed while its source was looked at"):
        services.read_so(looked_at, settings={"encoding": "cp1252"}, actor=SYSTEM)
    assert Stream.objects.get(pk=stream.pk).config == declared


def test_what_a_look_has_said_goes_with_what_it_was_said_of(stream: Stream) -> None:
    def changed(**config: Any) -> tuple[list[str], list[str]]:
        services.update_stream(stream, config=config, actor=SYSTEM)
        stream.refresh_from_db()
        return stream.warnings, [each["warning"] for each in stream.config["columns"]]

    unsure = [{**each, "warning": "may be a date"} for each in columns(stream)]
    stream.config["columns"], stream.warnings = unsure, ["id: may be a date", "note: may be a date", "A guess."]
    stream.save()
    kept = (list(stream.warnings), ["may be a date"] * 2)
    assert changed(settings={"when_changed": "stop"}) == kept
    assert changed(settings={"escape": '"', "header": True}) == kept, "it was read so before"
    left = (["note: may be a date", "A guess."], ["", "may be a date"])
    assert changed(columns=[{**unsure[0], "type": "DATE"}, unsure[1]]) == left
    mixed = [unsure[0], {**unsure[1], "native": "mixed"}]
    assert changed(columns=mixed, settings={"date_format": "%d.%m.%Y"}) == ([], ["", ""])


def test_the_place_of_a_row_says_what_is_known_of_it() -> None:
    messages = registry.build("redis_streams", {"host": "h"})
    known = [("orders, partition 1", 0), ("clicks, 7-1", None), (None, 4)]
    told = trying.told(messages, StreamConfig("m"), [Rejected(file, row, "", "") for file, row in known])
    assert [each["place"] for each in told] == ["orders, partition 1, 0", "clicks, 7-1", "4"]
    folder = registry.build("local_files", {"path": "/"})
    files = [Rejected(file, 5, "", "") for file in ("a.tsv.gz", "b.jsonl", "c.json", "d.parquet", "e.xlsx", "f.xml")]
    told = trying.told(folder, StreamConfig("f", settings={"pattern": ["*"]}), files)
    assert [each["place"].split(", ")[1] for each in told] == ["line 5"] * 2 + ["row 5"] * 4


def test_what_a_run_would_fail_at_is_told(api: Api, admin: User, source: Source) -> None:
    services.discover_streams(source, actor=SYSTEM, names=["public.airlines"])
    stream = Stream.objects.get(name="public.airlines")
    place = BASE.replace("drop", "reference-db").replace("orders", "public.airlines")
    found = api(admin).post(f"{place}try/", {"config": {"columns": columns(stream, name="DATE")}}).json()
    assert found["error"]["class"] == "data" and "American" in found["error"]["message"]
    assert not services.fits(found)


def entered(stream: Stream, **types: str) -> dict[str, str]:
    return {
        **{f"type-{place}": each["type"] for place, each in enumerate(columns(stream, **types))},
        **{f"use-{place}": "on" for place, _ in enumerate(stream.config["columns"])},
        "pattern": "\n".join(stream.config["settings"]["pattern"]),
        **{
            f"param-{each.name}": "on" if each.value is True else str(each.value)
            for each in file_settings.entries(stream.config["settings"])
            if each.value is not False
        },
    }


def test_the_page_shows_what_would_be_set_aside_and_keeps_what_was_entered(
    client: Client, admin: User, stream: Stream
) -> None:
    client.force_login(admin)
    page = f"/p/flights/sources/drop/streams/{stream.pk}/"
    part = client.post(f"{page}try/", entered(stream, id="BIGINT"), headers={"HX-Request": "true"})
    assert part.status_code == 200 and "1 row would be set aside" in part.content.decode()
    answer = client.post(page, entered(stream, id="BIGINT"))
    text = answer.content.decode()
    assert answer.status_code == 422 and "x3,c" in text and 'value="BIGINT"' in text and "Save all the same" in text
    stream.refresh_from_db()
    assert stream.config["columns"][0]["type"] == "VARCHAR"
    assert client.post(page, {**entered(stream, id="BIGINT"), "anyway": "yes"}).status_code == 302
    stream.refresh_from_db()
    assert stream.config["columns"][0]["type"] == "BIGINT"
    assert client.post(page, entered(stream, id="VARCHAR")).status_code == 302
    wrong = client.post(page, entered(stream, id="NONSENSE"))
    assert wrong.status_code == 422 and "no type of DuckDB" in wrong.content.decode().replace("&#x27;", "'")


@pytest.mark.parametrize("person", ["viewer", "operator"])
def test_whoever_may_not_change_it_reads_it_as_text(
    client: Client, person: str, stream: Stream, request: pytest.FixtureRequest
) -> None:
    config = {"select": ["note"], "settings": {**stream.config["settings"], "when_changed": "read_again"}}
    services.update_stream(stream, config=config, drift="ask", actor=SYSTEM)
    client.force_login(request.getfixturevalue(person))
    text = client.get(f"/p/flights/sources/drop/streams/{stream.pk}/").content.decode()
    shown = text[text.index('id="declaration"') :]
    shown = shown[: shown.index("</section>")]
    assert "<input" not in shown and "<select" not in shown and "disabled" not in shown
    assert "an administrator of the project can change what stands here" in shown
    assert '<span class="faint">no</span></td><td class="strong wrap-anywhere">id<' in shown
    assert '<td>yes</td><td class="strong wrap-anywhere">note<' in shown
    for said in ("orders.csv", "Read it again, into loads that merge", drifts.POLICIES["ask"], "Decimal separator"):
        assert said in shown, said


def test_the_columns_are_found_anew_by_what_was_entered_and_kept_when_it_is_saved(
    client: Client, admin: User, stream: Stream, tmp_path: Path
) -> None:
    client.force_login(admin)
    page = f"/p/flights/sources/drop/streams/{stream.pk}/"
    (tmp_path / "orders.csv").write_text("id;note;net\n1;a;2,5\n2;b;-\n")
    sent = filled(client.get(page).content.decode())
    refused = client.post(f"{page}read-so/", {**sent, "pattern": "*.none"}).content.decode()
    assert "No file fits *.none" in refused
    answer = client.post(f"{page}read-so/", {**sent, "param-delimiter": ";", "param-null_values": "-"})
    assert answer.headers["HX-Retarget"] == "#declaration"
    found = filled(answer.content.decode())
    assert (found["type-0"], found["type-1"], found["type-2"]) == ("BIGINT", "VARCHAR", "VARCHAR")
    assert found["param-delimiter"] == ";" and found["param-null_values"] == "-"
    (tmp_path / "orders.csv").write_text("id;note;net\n1;a;2,5\n2;b;\n")
    anew = filled(client.post(f"{page}read-so/", {**found, "use-1": "", "param-encoding": "cp1252"}).content.decode())
    assert (anew["type-0"], anew["type-2"], anew["param-decimal_separator"]) == ("BIGINT", "DOUBLE", ",")
    assert anew["param-null_values"] == "-", "what was entered before stays, what was found does not count as entered"
    stream.refresh_from_db()
    assert stream.config["settings"]["delimiter"] == ","
    stream.warnings = ["The files look otherwise now."]
    stream.save()
    assert client.post(page, anew).status_code == 302
    stream.refresh_from_db()
    assert stream.warnings == [], "what was said of the files before they were read so"
    assert {each["name"]: each["type"] for each in stream.config["columns"]} == {
        "id": "BIGINT",
        "note": "VARCHAR",
        "net": "DOUBLE",
    }
    kept = stream.config["settings"]
    assert (kept["delimiter"], kept["decimal_separator"], kept["null_values"]) == (";", ",", ["", "-"])
    assert stream.config["select"] == ["id", "net"]
    assert [each["name"] for each in stream.seen] == ["id", "note", "net"], "a run takes none of them for new"


def test_what_was_declared_or_chosen_stays_when_columns_are_found_anew(
    client: Client, admin: User, stream: Stream, tmp_path: Path
) -> None:
    client.force_login(admin)
    page = f"/p/flights/sources/drop/streams/{stream.pk}/"
    (tmp_path / "orders.csv").write_text("sent by us\nid,net\n1,2.5\n2,-\n")
    declared = {"null_values": ["-"], "date_format": "%d/%m/%Y"}
    services.update_stream(stream, config={"settings": declared}, actor=SYSTEM)
    sent = filled(client.get(page).content.decode())
    found = filled(client.post(f"{page}read-so/", {**sent, "param-skip": "1"}).content.decode())
    assert found["type-0"] == "BIGINT"
    again = client.post(f"{page}read-so/", {**found, "type-0": "VARCHAR", "param-encoding": "cp1252"})
    assert filled(again.content.decode())["type-0"] == "VARCHAR", "what was chosen in between stays"
    assert (found["param-skip"], found["param-null_values"], found["param-date_format"]) == ("1", "-", "%d/%m/%Y")


def test_what_no_page_of_ours_would_send_is_no_fault_of_the_server(
    client: Client, admin: User, stream: Stream, source: Source
) -> None:
    client.force_login(admin)
    anew = '{"columns": [], "settings": {"pattern": ["orders.csv"], "delimiter": [";"]}, "given": []}'
    page = f"/p/flights/sources/drop/streams/{stream.pk}/"
    assert client.post(f"{page}read-so/", {**entered(stream), "anew": anew}).status_code == 200
    table = Stream.objects.create(source=source, name="t", config={"columns": [], "settings": {}})
    answer = client.post(f"/p/flights/sources/{source.slug}/streams/{table.pk}/read-so/", {})
    assert answer.status_code == 200 and "hold no files" in answer.content.decode()


def test_settings_given_as_texts_are_kept_as_the_page_shows_them(client: Client, admin: User, stream: Stream) -> None:
    client.force_login(admin)
    page = f"/p/flights/sources/drop/streams/{stream.pk}/"
    given = {"pattern": "orders*.csv\nmore*.csv", "delimiter": "tab"}
    changed = services.update_stream(stream, config={"settings": given}, actor=SYSTEM)
    kept = {name: changed.config["settings"][name] for name in given}
    assert kept == {"pattern": ["orders*.csv", "more*.csv"], "delimiter": "\t"}
    changed = services.update_stream(stream, config={"settings": {"null_values": "NA"}}, actor=SYSTEM)
    assert changed.config["settings"]["null_values"] == ["NA"]
    for wrong, told in (({"null_values": 0}, "Give a list, even of one"), ({"sheet": 2024}, "Give a text. A number")):
        with pytest.raises(InvalidFields) as refused:
            services.update_stream(stream, config={"settings": wrong}, actor=SYSTEM)
        assert refused.value.fields[f"settings.{next(iter(wrong))}"][0].startswith(told)
    stream.config["settings"]["pattern"] = given["pattern"]
    stream.save()
    assert filled(client.get(page).content.decode())["pattern"] == given["pattern"], "not its letters"


def test_a_source_that_does_not_answer_can_be_saved_all_the_same(
    client: Client, admin: User, unreachable: Source
) -> None:
    stream = Stream.objects.create(source=unreachable, name="t", config={"columns": [], "settings": {}})
    client.force_login(admin)
    page = f"/p/flights/sources/nowhere/streams/{stream.pk}/"
    answer = client.post(page, {"row_filter": "a > 1"})
    assert answer.status_code == 422 and "Save all the same" in answer.content.decode()
    assert client.post(page, {"row_filter": "a > 1", "anyway": "yes"}).status_code == 302
    stream.refresh_from_db()
    assert stream.config["row_filter"] == "a > 1"
