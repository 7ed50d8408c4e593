"""One root, paths that stay in it, and files that are written once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import ConfigurationError
from dataplane.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(f"file://{tmp_path}/with%20blank")


def test_a_path_is_below_the_root(storage, tmp_path):
    assert storage.absolute("runs/1/a.parquet") == f"{tmp_path}/with blank/runs/1/a.parquet"


@pytest.mark.parametrize("path", ["", ".", "/etc/passwd", "../x", "a/../../x"])
def test_a_path_that_leaves_the_root_is_refused(storage, path):
    with pytest.raises(ConfigurationError) as caught:
        storage.absolute(path)
    assert caught.value.code == "storage_path"


@given(st.lists(st.sampled_from(["a", "..", ".", "b c", "…"]), min_size=1, max_size=6).map("/".join))
def test_no_path_leaves_the_root(path):
    storage = Storage("file:///srv/data")
    try:
        absolute = storage.absolute(path)
    except ConfigurationError:
        return
    assert absolute.startswith("/srv/data/") and ".." not in absolute.split("/")


@pytest.mark.parametrize("url", ["s3://bucket", "relative", "http://x/y", "file://relative"])
def test_another_address_is_refused(url):
    with pytest.raises(ConfigurationError):
        Storage(url)


def test_a_folder_is_made_once(storage):
    storage.new_folder("runs/1/step/1")
    with pytest.raises(FileExistsError):
        storage.new_folder("runs/1/step/1")


def test_walk_finds_what_remove_takes(storage):
    folder = Path(storage.new_folder("runs/1"))
    (folder / "a.parquet").write_bytes(b"abc")
    storage.flush("runs/1/a.parquet")
    assert list(storage.walk("runs")) == ["runs/1/a.parquet"]
    assert (storage.size("runs/1/a.parquet"), storage.exists("runs/1/a.parquet")) == (3, True)
    storage.remove("runs/1")
    storage.remove("runs/1")
    assert not storage.exists("runs/1")
