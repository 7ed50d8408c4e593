"""The folder itself: what may be read, what is listed, dated, planned, and told when it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.connectors.base import Stage
from dataplane.connectors.files import folder
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.folder import Folder
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.patterns import FilePattern, generalised
from dataplane.connectors.files.suggest import suggestions
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import ConfigurationError, DataError, TransientError
from tests.dataplane.steps.files_source import Drop


def code_of(stage: Stage) -> str:
    assert stage.error is not None
    return stage.error.code


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def flights(drop: Drop, *months: int) -> None:
    for month in months:
        drop.write(f"flights_2013-{month:02d}.csv", f"id,day\n{month},2013-{month:02d}-01\n")


def test_every_stage_of_a_test_passes(drop):
    flights(drop, 1)
    stages = list(drop.connector.test())
    assert [(each.name, each.ok) for each in stages] == [("resolve", True), ("list", True), ("read", True)]
    assert "1 file, " in stages[1].detail


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/etc", "path_not_allowed"),
        ("drop/../../..", "path_not_allowed"),
        ("nowhere", "path_missing"),
        ("drop/flights_2013-01.csv", "path_not_a_folder"),
    ],
)
def test_a_folder_that_may_not_be_read_says_why(drop, path, code):
    flights(drop, 1)
    (stage,) = build("local_files", {"path": path}, roots=[str(drop.root)]).test()
    assert (stage.ok, code_of(stage)) == (False, code)


def test_a_folder_that_is_not_allowed_is_named_with_the_setting(drop):
    (stage,) = build("local_files", {"path": "/etc/drop"}, roots=[str(drop.root)]).test()
    assert "add /etc/drop to MANIFOLD_FILE_ROOTS and start again" in stage.detail


def test_without_allowed_folders_nothing_is_read(drop):
    (stage,) = build("local_files", {"path": str(drop.folder)}).test()
    assert code_of(stage) == "no_file_roots"
    assert "MANIFOLD_FILE_ROOTS" in stage.detail


def test_a_folder_beside_the_allowed_one_with_a_longer_name_is_refused(tmp_path):
    for name in ("data", "data-private"):
        (tmp_path / name).mkdir()
    (stage,) = build("local_files", {"path": str(tmp_path / "data-private")}, roots=[str(tmp_path / "data")]).test()
    assert code_of(stage) == "path_not_allowed"


def test_a_link_that_leads_out_is_not_read(drop):
    secret = drop.root / "secret.csv"
    secret.write_text("id\n1\n")
    os.symlink(secret, drop.folder / "flights_2013-01.csv")
    flights(drop, 2)
    planned = drop.plan(StreamConfig("flights", settings={"pattern": "flights_*.csv"}))
    assert [each.path for each in planned.window.files] == ["flights_2013-02.csv"]
    assert any("leads out" in each for each in planned.warnings)


def test_what_is_no_file_or_has_no_name_of_text_is_left_out_and_told(drop):
    os.mkfifo(drop.folder / "flights_2013-01.csv")
    os.mkdir(drop.folder / "flights_2013-03.csv")
    Path(os.fsdecode(os.fsencode(drop.folder) + b"/flights_2013-0\xff.csv")).write_text("id\n1\n")
    os.symlink("flights.csv", drop.folder / "flights_2013-04.csv")
    flights(drop, 2)
    planned = drop.plan(StreamConfig("flights", settings={"pattern": "flights_*.csv"}))
    assert [each.path for each in planned.window.files] == ["flights_2013-02.csv"]
    assert "flights_2013-04.csv is a link to a file that is not there; it is not read." in planned.warnings
    assert any("is a pipe" in each for each in planned.warnings)
    assert any("not UTF-8" in each for each in planned.warnings)
    assert "\n".join(planned.warnings).encode()


def test_a_file_that_became_a_pipe_is_gone(drop):
    flights(drop, 2)
    stream = StreamConfig("flights", settings={"pattern": "flights_*.csv"})
    window = drop.plan(stream).window
    (drop.folder / "flights_2013-02.csv").unlink()
    os.mkfifo(drop.folder / "flights_2013-02.csv")
    with pytest.raises(DataError) as caught:
        drop.extract(stream, window)
    assert caught.value.code == "files_missing"


def test_a_linked_folder_may_not_lead_out(drop):
    os.symlink("/etc", drop.root / "link")
    (stage,) = build("local_files", {"path": str(drop.root / "link")}, roots=[str(drop.root)]).test()
    assert code_of(stage) == "path_not_allowed"


def test_files_that_differ_by_date_are_one_stream(drop):
    flights(drop, 1, 2)
    drop.write("airports.csv", "code,name\nJFK,Kennedy\n")
    drop.write("2013/01/weather.ndjson", '{"a": 1}\n')
    drop.write(".hidden.csv", "a\n1\n")
    drop.write("notes.docx", "no data")
    found = {each.name: (each.settings["pattern"], each.settings["format"]) for each in drop.connector.discover()}
    assert found == {
        "airports": (["airports.csv"], "csv"),
        "flights": (["flights_{YYYY}-{MM}.csv"], "csv"),
        "weather": (["{YYYY}/{MM}/weather.ndjson"], "ndjson"),
    }


def test_one_unreadable_file_does_not_hide_the_others(drop):
    flights(drop, 1)
    drop.write("broken.parquet", b"no parquet")
    drop.write("empty.csv", b"")
    found = {each.name: each for each in drop.connector.discover()}
    assert found["flights"].columns
    assert found["broken"].columns == () and "damaged" in found["broken"].warnings[0]
    assert "empty" in found["empty"].warnings[0]


def test_discovery_of_many_streams_is_bounded_and_says_so(drop, monkeypatch):
    monkeypatch.setattr(FileConnector, "patience", -1.0)
    for name in ("airlines", "airports", "planes"):
        drop.write(f"{name}.csv", "code,name\nJFK,Kennedy\n")
    first, *others = drop.connector.discover()
    assert first.columns and not first.warnings
    for each in others:
        assert each.columns == () and each.settings["pattern"] == [f"{each.name}.csv"]
        assert "chosen by name" in each.warnings[0]
    (named,) = drop.connector.discover_named(["planes"])
    assert [each.name for each in named.columns] == ["code", "name"] and not named.warnings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("orders.csv", "id,customer,a_long_name_of_a_column\n" + "1,2,3\n" * 5),
        ("orders.csv", "id,customer,a_long_name_of_a_column\r\n" + "1,2,3\r\n" * 4 + "1,2,3"),
        ("orders.ndjson", '{"id": 1}\n' * 5),
        ("orders.ndjson", '{"id": 1}\n' * 4 + '{"id": 1}'),
        ("orders.csv", "id,customer\n" + "10000,2\n" * 20_000),
    ],
    ids=["header", "no-end", "objects", "objects-no-end", "large"],
)
def test_a_plan_tells_how_many_rows_small_files_have(drop, name, text):
    drop.write(name, text)
    rows = text.count("\n") + (not text.endswith("\n")) - name.endswith("csv")
    assert drop.plan(drop.stream()).rows == rows


def test_only_new_files_are_planned_in_the_order_of_their_dates(drop):
    flights(drop, 2, 1)
    stream = drop.stream()
    first = drop.plan(stream)
    assert [(each.path, each.file_date) for each in first.window.files] == [
        ("flights_2013-01.csv", "2013-01-01"),
        ("flights_2013-02.csv", "2013-02-01"),
    ]
    assert (first.rows, first.bytes) == (2, sum(each.size for each in first.window.files))
    nothing = drop.plan(stream, first.window)
    assert nothing.window is None and nothing.reason.startswith("No new file")
    flights(drop, 3)
    assert [each.path for each in drop.plan(stream, first.window).window.files] == ["flights_2013-03.csv"]


def test_a_changed_file_is_reported_and_not_read_twice(drop):
    flights(drop, 1)
    stream = drop.stream()
    first = drop.plan(stream).window
    drop.write("flights_2013-01.csv", "id,day\n1,2013-01-01\n2,2013-01-02\n")
    planned = drop.plan(stream, first)
    assert planned.window is None
    assert any("has changed" in each for each in planned.warnings)
    assert planned.listed[0].size != first.files[0].size


def test_ignored_files_and_files_still_written_are_left(drop):
    flights(drop, 1, 2, 3)
    for month in (1, 3):
        old = time.time() - 1000
        os.utime(drop.folder / f"flights_2013-{month:02d}.csv", (old, old))
    stream = drop.stream(settle_seconds=60)
    planned = drop.connector.plan(stream, "incremental", Mark(ignored=frozenset({"flights_2013-03.csv"})))
    assert [each.path for each in planned.window.files] == ["flights_2013-01.csv"]
    assert any("flights_2013-02.csv" in each for each in planned.warnings)


def test_what_is_new_is_told_apart_from_what_has_changed(drop):
    flights(drop, 1, 2)
    stream = drop.stream(when_changed="read_again")
    first = drop.plan(stream).window
    drop.write("flights_2013-01.csv", "id,day\n9,2013-01-01\n8,2013-01-01\n")
    assert drop.plan(stream, first).reason == "Of 2 files 1 has changed since being read: flights_2013-01.csv."
    flights(drop, 3)
    said = drop.plan(stream, first).reason
    assert said.startswith("Of 3 files 1 is new and 1 has changed since being read: flights_2013-01.csv, ")


def test_a_date_that_is_none_is_reported(drop):
    flights(drop, 1)
    stream = drop.stream()
    drop.write("flights_2013-13.csv", "id,day\n1,2013-01-01\n")
    planned = drop.plan(stream)
    assert len(planned.window.files) == 1
    assert any("flights_2013-13.csv" in each for each in planned.warnings)


def test_full_refresh_without_a_file_is_an_error_and_incremental_is_not(drop):
    stream = StreamConfig("flights", settings={"pattern": "flights_*.csv"})
    with pytest.raises(DataError) as caught:
        drop.connector.plan(stream, "full_refresh", Mark())
    assert caught.value.code == "files_missing"
    assert drop.plan(stream).window is None


def test_preview_shows_the_rows_as_they_arrive(drop):
    flights(drop, 1, 2)
    shown = drop.connector.preview(drop.stream(), 1)
    assert (shown.num_rows, shown.column_names) == (1, ["id", "day"])


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"pattern": "../x.csv"}, None),
        ({"pattern": "{NOPE}.csv"}, None),
        ({"pattern": "*.csv", "encoding": "klingon"}, "encoding"),
        ({"pattern": "*.csv", "delimitter": ";"}, "delimitter"),
        ({}, "pattern"),
    ],
)
def test_wrong_settings_name_their_place(drop, settings, place):
    with pytest.raises(ConfigurationError) as caught:
        drop.plan(StreamConfig("flights", settings=settings))
    assert place is None or place in caught.value.message


def test_patterns_stay_within_their_folder():
    assert FilePattern("*.csv").match("a/b.csv") is None
    assert FilePattern("**/*.csv").match("a/b/c.csv") is not None
    assert FilePattern("**/*.csv").match("c.csv") is not None
    assert FilePattern("x[12].csv").match("x3.csv") is None
    assert FilePattern("{YYYY}-{MM}-{DD}.csv").match("2013-02-30.csv") is None
    assert FilePattern("{YYYY}/{YYYY}-{MM}.csv").match("2013/2014-01.csv") is None


@given(st.dates(), st.sampled_from(["-", "_", "", "."]), st.text("abcxyz_", min_size=1, max_size=8))
def test_a_date_in_a_name_is_found_and_read_back(day, mark, word):
    if not 1900 <= day.year < 2100:
        day = day.replace(year=2000 + day.year % 100, day=min(day.day, 28))
    path = f"{word}-{day.year}{mark}{day.month:02d}{mark}{day.day:02d}.csv"
    pattern = generalised(path)
    match = FilePattern(pattern).match(path)
    assert match is not None
    assert match.date == day.isoformat()


@example("x-2013-02-30.csv")
@example("2013/2013-01.csv")
@given(st.text("ab012.*?[]{}-_/", min_size=1, max_size=14).filter(lambda name: ".." not in name and name[0] != "/"))
def test_every_name_fits_its_own_pattern(name):
    assert FilePattern(generalised(name)).match(name) is not None


def test_names_of_streams_from_deep_folders_are_cut_and_differ() -> None:
    folders = "/".join(["a-rather-long-folder"] * 20)
    found = suggestions([Found(f"{folders}/{each}.csv", "", 1, 0) for each in ("orders", "customers")])
    assert len({each.name for each in found}) == 2
    assert all(len(each.name) <= 160 for each in found)


def test_a_file_that_is_open_for_writing_is_left_until_it_is_closed(drop):
    flights(drop, 1, 2)
    stream = drop.stream()
    with open(drop.folder / "flights_2013-02.csv", "a") as writing:
        planned = drop.plan(stream)
        assert [each.path for each in planned.window.files] == ["flights_2013-01.csv"]
        assert planned.warnings == ("flights_2013-02.csv is still being written, and is left for the next run.",)
        nothing = drop.plan(stream, planned.window).reason
        assert nothing == "No new file fits flights_{YYYY}-{MM}.csv; 1 was read before; 1 may not be whole yet."
        assert [each.path for each in planned.listed] == ["flights_2013-01.csv", "flights_2013-02.csv"]
        writing.write("22,2013-02-02\n")
        assert drop.plan(StreamConfig(stream.name, settings={**stream.settings, "settle_seconds": 0})).warnings == ()
        with pytest.raises(TransientError, match="would lack the rows") as raised:
            drop.connector.plan(stream, "full_refresh", Mark())
        assert raised.value.evidence == {"files": ["flights_2013-02.csv"]} and raised.value.code == "file_unsettled"
        ignoring = Mark(ignored=frozenset({"flights_2013-02.csv"}))
        assert len(drop.connector.plan(stream, "full_refresh", ignoring).window.files) == 1
    after = drop.plan(stream, planned.window)
    assert [each.path for each in after.window.files] == ["flights_2013-02.csv"]


def test_one_that_has_not_changed_for_a_day_is_read_though_somebody_keeps_it_open(drop):
    flights(drop, 1)
    stream = drop.stream()
    with open(drop.folder / "flights_2013-01.csv", "a"):
        old = time.time() - 90_000
        os.utime(drop.folder / "flights_2013-01.csv", (old, old))
        assert drop.plan(stream).window is not None


def test_where_the_only_file_is_still_written_that_is_said(drop):
    flights(drop, 1)
    stream = drop.stream()
    with open(drop.folder / "flights_2013-01.csv", "a"), pytest.raises(TransientError) as raised:
        drop.connector.plan(stream, "full_refresh", Mark())
    assert "is still being written" in raised.value.message and raised.value.code == "file_unsettled"


@pytest.mark.parametrize(("kind", "left"), [("ext4", True), ("nfs4", False), ("cifs", False), ("smb3", False)])
def test_a_network_drive_cannot_tell_who_writes(drop, monkeypatch, kind, left):
    flights(drop, 1)
    device = os.stat(drop.folder).st_dev
    mounted = f"36 35 {os.major(device)}:{os.minor(device)} / /files rw,noatime shared:1 - {kind} files rw\n"
    mounts = drop.root / "mountinfo"
    mounts.write_text(f"22 27 0:0 / /proc rw - proc proc rw\n{mounted}")
    monkeypatch.setattr(folder, "_MOUNTS", str(mounts))
    # The kernel's answer for a file of such a drive is the same as for one that is open for writing.
    with open(drop.folder / "flights_2013-01.csv", "a"):
        assert (drop.plan(drop.stream()).window is None) is left


def test_whoever_wants_to_write_at_that_moment_ends_nothing(drop):
    flights(drop, 1)
    path = drop.folder / "flights_2013-01.csv"
    writer = subprocess.Popen([sys.executable, "-c", f"while True: open({str(path)!r}, 'a').close()"])
    try:
        place = Folder(str(drop.folder), [str(drop.root)])
        place.open()
        found = place.find("flights_2013-01.csv")
        seen, until = {place.being_written(found)}, time.monotonic() + 120
        while len(seen) < 2 and time.monotonic() < until:
            seen.add(place.being_written(found))
        seen |= {place.being_written(found) for _ in range(3000)}
    finally:
        writer.kill()
        writer.wait()
    assert seen == {True, False}
