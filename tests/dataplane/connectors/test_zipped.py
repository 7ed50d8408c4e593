"""Archives: their members are files like others, and none of them unpacks to more than it says, or elsewhere."""

from __future__ import annotations

import io
import os
import struct
import time
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.files import zipped
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark
from dataplane.errors import DataError, ManifoldError, TransientError
from tests.dataplane.steps.files_source import Drop, places, rejects, rows

ORDERS = "id,day\n1,2013-01-01\nx,2013-01-02\n3,2013-01-03\n"


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


def archive(*members: tuple[str, str | bytes], at: datetime = datetime(2013, 2, 1), mode: int = 0o644) -> bytes:
    """A ZIP file with these members in this order."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            info = zipfile.ZipInfo(name, at.timetuple()[:6])
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return out.getvalue()


def paths(drop: Drop, pattern: str = "**", mark: Mark | None = None) -> list[str]:
    stream = StreamConfig("all", {"pattern": [pattern], "format": "csv"})
    window = drop.connector.plan(stream, "incremental", mark or Mark()).window
    return [each.path for each in window.files] if window else []


def warned(drop: Drop, pattern: str = "**") -> str:
    stream = StreamConfig("all", {"pattern": [pattern], "format": "csv"})
    return " ".join(drop.connector.plan(stream, "incremental", Mark()).warnings)


def test_members_are_streams_with_dates_from_the_archives_name(drop):
    for month in (1, 2):
        content = archive(("orders.csv", f"id\n{month}\n"), ("in/lines.ndjson", f'{{"n": {month}}}\n'))
        drop.write(f"day_2013-{month:02d}.zip", content)
    found = {each.name: each.settings["pattern"] for each in drop.connector.discover()}
    assert found == {
        "day_orders": ["day_{YYYY}-{MM}.zip/orders.csv"],
        "day_in_lines": ["day_{YYYY}-{MM}.zip/in/lines.ndjson"],
    }
    stream = drop.stream("day_orders")
    planned = drop.plan(stream)
    assert [(each.path, each.file_date) for each in planned.window.files] == [
        ("day_2013-01.zip/orders.csv", "2013-01-01"),
        ("day_2013-02.zip/orders.csv", "2013-02-01"),
    ]
    assert rows(drop.root, drop.extract(stream)) == [(1,), (2,)]
    assert drop.connector.preview(stream).num_rows == 1
    assert all(each.ok for each in drop.connector.test())


def test_what_is_said_of_an_archive_is_said_once(drop):
    drop.write("a.csv", "id\n1\n")
    drop.write("b.zip", b"PK\x03\x04")
    drop.write("z.zip", archive(("orders.csv", "id\n1\n"), ("more.csv", "id\n1\n"), ("../x.csv", "id\n1\n")))
    told = [(each.name, [said.split(",")[0] for said in each.warnings]) for each in drop.connector.discover()]
    damaged = "b.zip cannot be unpacked: it is damaged or was not written to its end. Deliver it again"
    assert told == [("a", [damaged]), ("z_more", ["A member of z.zip is left out"]), ("z_orders", [])]


def test_rows_keep_their_lines_and_what_was_unpacked_goes_away(drop):
    drop.write("a.zip", archive(("orders.csv", ORDERS)))
    stream = drop.stream()
    stream = StreamConfig(stream.name, stream.settings, tuple(_typed(stream)))
    found = drop.extract(stream)
    assert [each[1:] for each in rejects(drop.root, found)] == [(3, "id is not BIGINT", "x,2013-01-02")]
    assert places(found) == [("a.zip/orders.csv", 2), ("a.zip/orders.csv", 4)]
    assert [name for _, _, names in os.walk(drop.root / "spill") for name in names] == []


def _typed(stream: StreamConfig) -> Any:
    return (type(each)(each.name, "BIGINT" if each.name == "id" else each.type) for each in stream.columns)


def test_a_member_that_is_added_changes_no_other(drop):
    drop.write("a.zip", archive(("one.csv", "id\n1\n")))
    stream = StreamConfig("all", {"pattern": ["a.zip/*.csv"]})
    first = drop.plan(stream).window
    drop.write("a.zip", archive(("one.csv", "id\n1\n"), ("two.csv", "id\n2\n")))
    planned = drop.plan(stream, first)
    assert [each.path for each in planned.window.files] == ["a.zip/two.csv"]
    assert planned.warnings == ()
    drop.write("a.zip", archive(("one.csv", "id\n7\n"), ("two.csv", "id\n2\n")))
    with pytest.raises(DataError) as caught:
        drop.extract(stream, first)
    assert caught.value.code == "file_changed"


@pytest.mark.parametrize(
    "name", ["../out.csv", "/etc/out.csv", "a/../../out.csv", "a\\..\\out.csv", "a//b.csv", "n\n.csv"]
)
def test_a_name_that_leads_elsewhere_is_left_out(drop, name):
    drop.write("a.zip", archive(("good.csv", "id\n1\n"), (name, "id\n666\n")))
    assert paths(drop) == ["a.zip/good.csv"]
    assert "leads elsewhere" in warned(drop)
    assert not list(drop.root.rglob("out.csv"))


def test_links_passwords_and_hidden_members_are_left_out(drop):
    drop.write("links.zip", archive(("link.csv", "/etc/passwd"), mode=0o120777))
    drop.write("hidden.zip", archive(("__MACOSX/a.csv", "x"), (".a/b.csv", "x"), ("dir/", ""), ("in.zip", "PK")))
    secret = bytearray(archive(("secret.csv", "id\n1\n")))
    for at, offset in ((secret.find(b"PK\x03\x04"), 6), (secret.find(b"PK\x01\x02"), 8)):
        secret[at + offset] |= 1
    drop.write("secret.zip", bytes(secret))
    assert paths(drop) == ["hidden.zip/in.zip"]
    assert "it is a link" in warned(drop)
    assert "protected by a password" in warned(drop)


def overlapping() -> bytes:
    """A thousand entries that all unpack the same bytes."""
    content = archive(("0.csv", b"id\n" + os.urandom(1000)))
    at = content.find(b"PK\x01\x02")
    entry = bytearray(content[at : content.find(b"PK\x05\x06")])
    entries = b"".join(bytes(entry).replace(b"0.csv", b"%d.csv" % number) for number in range(10))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, len(entries), at, 0)
    return content[:at] + entries + end


def bomb() -> bytes:
    return archive(("zeros.csv", b"\0" * (80 << 20)))


def lying(size: int) -> bytes:
    """A member that says that it is smaller than it is."""
    content = bytearray(archive(("a.csv", b"id\n" + b"1\n" * 50_000)))
    struct.pack_into("<L", content, content.find(b"PK\x01\x02") + 24, size)
    return bytes(content)


def listing(size: int) -> bytes:
    """An archive with a list of members as long as this: every one has a comment."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for number in range(size // 65_000 + 1):
            info = zipfile.ZipInfo(f"{number}.csv")
            info.comment = b"x" * 65_000
            file.writestr(info, "id\n1\n")
    return out.getvalue()


def damaged(method: int) -> bytes:
    """A member whose bytes have changed in the middle."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr(
            zipfile.ZipInfo("a.csv", (2013, 2, 1, 0, 0, 0)), "id\n" + "".join(f"{n}\n" for n in range(5_000)), method
        )
    content = bytearray(out.getvalue())
    middle = content.find(b"PK\x01\x02") // 2
    content[middle : middle + 64] = bytes(64)
    return bytes(content)


GOOD = archive(("a.csv", "id\n1\n"))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (overlapping(), "file_bomb"),
        (bomb, "file_bomb"),
        (lambda: listing(16 << 20), "file_bomb"),
        (GOOD[:-10], "file_damaged"),
        (b"id\n1\n", "file_damaged"),
        (b"", "file_damaged"),
        (lying(100), "file_damaged"),
        (damaged(zipfile.ZIP_DEFLATED), "file_damaged"),
        (damaged(zipfile.ZIP_BZIP2), "file_damaged"),
        (damaged(zipfile.ZIP_LZMA), "file_damaged"),
        (GOOD[:36] + bytes([GOOD[36] ^ 1]) + GOOD[37:], "file_damaged"),
    ],
)
def test_an_archive_that_is_none_or_a_bomb_stops_its_own_stream_only(drop, content, code):
    drop.write("bad_2013-01.zip", content() if callable(content) else content)
    drop.write("good_2013-01.zip", GOOD)
    good = {each.name: each for each in drop.connector.discover()}["good_a"]
    assert rows(drop.root, drop.extract(StreamConfig("good", good.settings, good.columns))) == [(1,)]
    bad = StreamConfig("bad", {**good.settings, "pattern": ["bad_{YYYY}-{MM}.zip/*.csv"]}, good.columns)
    with pytest.raises(ManifoldError) as caught:
        drop.extract(bad, drop.plan(bad).window)
    assert caught.value.code == code
    assert "bad_2013-01.zip" in caught.value.message


def test_a_look_passes_over_an_archive_that_cannot_be_opened_where_there_is_another_file(drop: Drop) -> None:
    drop.write("a.csv", "id\n1\n")
    drop.write("b.zip", b"PK\x03\x04")
    stream = StreamConfig("all", {"pattern": ["**"], "format": "csv"})
    assert isinstance(drop.connector, FileConnector)
    assert drop.connector.preview(stream).num_rows == 1
    window = drop.connector.plan_sample(stream).window
    assert window is not None and [each.path for each in window.files] == ["a.csv"]
    assert [each.path for each in drop.connector.listed([stream])["all"]] == ["a.csv", "b.zip"]
    (drop.folder / "a.csv").unlink()
    with pytest.raises(DataError, match=r"b\.zip cannot be unpacked"):
        drop.connector.preview(stream)


def test_too_many_members_are_refused(drop, monkeypatch):
    monkeypatch.setattr(zipped, "MOST_MEMBERS", 3)
    drop.write("a.zip", archive(*((f"{number}.csv", "id\n1\n") for number in range(4))))
    assert paths(drop, "*.csv") == []
    assert "holds 4 files" in warned(drop, "*.csv")


def test_a_folder_may_be_called_like_an_archive(drop):
    drop.write("a.zip/b.csv", "id\n1\n")
    assert rows(drop.root, drop.extract(drop.stream())) == [(1,)]


def test_a_large_member_is_looked_at_by_its_beginning(drop, monkeypatch):
    monkeypatch.setattr(zipped, "SAMPLE", 1 << 16)
    lines = "".join(f"{number},{number * 7919 % 100_003}\n" for number in range(100_000))
    drop.write("a.zip", archive(("a.csv", "id,n\n" + lines)))
    stream = drop.stream()
    assert [each.type for each in stream.columns] == ["BIGINT", "BIGINT"]
    assert drop.connector.preview(stream).num_rows == 50
    assert len(rows(drop.root, drop.extract(stream))) == 100_000


def test_an_archive_that_is_still_written_is_left_and_stops_nothing(drop: Drop) -> None:
    whole = archive(("orders.csv", ORDERS))
    drop.write("day.zip", whole)
    stream = drop.stream()
    with open(drop.folder / "day.zip", "wb") as writing:
        writing.write(whole[:40])
        writing.flush()
        planned = drop.plan(stream)
        assert planned.window is None
        assert planned.warnings == ("day.zip is still being written, and is left for the next run.",)
        writing.write(whole[40:])
    assert paths(drop) == ["day.zip/orders.csv"]


def test_a_full_refresh_waits_for_an_archive_of_its_stream_that_is_still_written(drop: Drop) -> None:
    whole = archive(("orders.csv", ORDERS))
    drop.write("day.zip", whole)
    drop.write("night.csv", ORDERS)
    orders, night = drop.stream("day_orders"), drop.stream("night")
    with open(drop.folder / "day.zip", "ab"):
        with pytest.raises(TransientError, match="Wait until no program writes there, or take it away") as raised:
            drop.connector.plan(orders, "full_refresh", Mark())
        assert raised.value.evidence == {"files": ["day.zip"]} and raised.value.code == "file_unsettled"
        assert drop.connector.plan(night, "full_refresh", Mark()).reason == "night.csv, the only file, is read."
        assert "1 may not be whole yet" in drop.plan(orders).reason
        old = time.time() - 90_000
        os.utime(drop.folder / "day.zip", (old, old))
        assert drop.connector.plan(orders, "full_refresh", Mark()).window is not None
