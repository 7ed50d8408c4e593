"""A file's digest, made while the file is written."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from dataplane.engine import connector_instance, write_parquet
from dataplane.following import Following
from dataplane.storage import Storage


def test_a_file_that_grows_in_pieces_has_the_digest_of_all_of_them(tmp_path: Path) -> None:
    target = tmp_path / "grows"
    pieces = [os.urandom(size) for size in (1, 3_000_000, 17, 40_000_000, 5)]
    with Following(str(target)) as following, target.open("wb", buffering=0) as file:
        for piece in pieces:
            file.write(piece)
            time.sleep(0.03)
    assert following.sha256("grows") == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_a_writer_that_makes_no_file_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no rows"), Following(str(tmp_path / "none")) as following:
        raise RuntimeError("no rows")
    with pytest.raises(FileNotFoundError):
        following.sha256("none")


def followed(target: Path) -> bool:
    """Whether somebody in this process has begun to read a file."""
    fds = [each for each in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{each}") == str(target)]
    return any(os.lseek(int(each), 0, os.SEEK_CUR) for each in fds)


def test_a_file_that_becomes_shorter_is_not_waited_for(tmp_path: Path) -> None:
    target = tmp_path / "shrinks"
    with Following(str(target)) as following, target.open("wb", buffering=0) as file:
        file.truncate(8 << 30)
        # It has seen the size, and takes seconds to come to it.
        while not followed(target):
            time.sleep(0.01)
        file.truncate(10)
    with pytest.raises(OSError, match="become shorter"):
        following.sha256("shrinks")


@pytest.mark.parametrize("rows", [0, 1, 3_000_000])
def test_what_duckdb_writes_has_the_digest_of_its_bytes(rows: int, tmp_path: Path) -> None:
    storage = Storage(f"file://{tmp_path}")
    query = f"SELECT i, hash(i) AS h, concat('row ', i) AS t FROM range({rows}) r(i)"
    with connector_instance(ordered=True) as connection:
        files = write_parquet(connection, query, storage=storage, folder="made", hashed=True, many=True)
    assert [(each.rows, each.sha256) for each in files] == ([(rows, storage.sha256(files[0].path))] if rows else [])
