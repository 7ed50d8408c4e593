"""A home that a tagged version made starts with this code: the tables are migrated, and its pipelines go on."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from manifold.client import Client
from manifold.embedded import binaries
from manifold.supervisor.home import Home
from tests.manifold.test_supervisor import Up

FIXTURES = Path(__file__).parent.parent / "fixtures"


def keys_of_steps(database: str) -> set[tuple[int, str]]:
    """The foreign keys of the steps of runs, each with the number that it keeps for as long as it stands."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT oid::bigint, conname FROM pg_constraint"
            " WHERE conrelid = 'pipelines_steprun'::regclass AND contype = 'f'"
        ).fetchall()
    return {(number, name) for number, name in rows}


@pytest.fixture
def made(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Up, str, Path]]:
    """The home of 0.1.0, unpacked, with the address of its database and a folder for new files."""
    fixture = FIXTURES / "home-0.1.0"
    up = Up(tmp_path)
    shutil.copytree(fixture / "secrets", up.home / "secrets")
    with tarfile.open(fixture / "storage.tar.gz") as files:
        files.extractall(up.home)
    psql = [str(binaries.postgres_bin(None) / "psql"), "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", postgres_url]
    dump = gzip.decompress((fixture / "database.sql.gz").read_bytes())
    done = subprocess.run(psql, input=dump, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    drop = tmp_path / "drop"
    drop.mkdir()
    yield up, postgres_url, drop
    up.stop()


def test_a_home_of_0_1_0_starts_migrates_and_runs(made: tuple[Up, str, Path]) -> None:
    up, database, drop = made
    keys = keys_of_steps(database)
    up.start("--port", "0", DATABASE_URL=database, MANIFOLD_FILE_ROOTS=str(drop))
    platform = Home(up.home).platform()
    client = Client(platform["url"], platform["token"])
    (drop / "orders-2026-02.csv").write_text("id,customer,amount,ordered_at\n5,dan,1.50,2026-02-01 09:00:00\n")
    client.in_project("PATCH", "sources/order-drop/", json={"params": {"path": str(drop)}})
    started = client.in_project("POST", "pipelines/orders/runs/", json={})
    run = client.wait(started["id"], seconds=300)
    assert (run["state"], run["mode"]) == ("succeeded", "incremental"), run["error"]
    kept = client.in_project("POST", "queries/", json={"sql": "SELECT id, customer FROM orders ORDER BY id"})
    assert [row[1] for row in kept["rows"]] == ["ann", "ben", "ann", "dan"], "three rows of then, one of now"
    assert client.call("GET", "events/verify/")["problems"] == []
    assert keys and keys <= keys_of_steps(database), "made anew, a key looks at every row while all else waits"
