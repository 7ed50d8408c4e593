"""A backup made while the platform runs, restored into an empty home that then goes on; and what is refused."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manifold.backup import archive, sealing
from manifold.backup.archive import Archive
from manifold.backup.errors import BackupError
from manifold.client import Client
from manifold.supervisor.home import Home
from tests.fixtures.make_home import DOCUMENT
from tests.homes import forget
from tests.manifold.test_supervisor import Up, environment

PASSPHRASE = "correct horse battery"


def manifold(*words: str, passphrase: str = PASSPHRASE, **env: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "manifold", *words]
    settings = environment(MANIFOLD_BACKUP_PASSPHRASE=passphrase, **env)
    return subprocess.run(line, env=settings, capture_output=True, text=True, check=False)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Callable[[str], Up]]:
    """Installations by name; all are stopped and removed in the end."""
    made: dict[str, Up] = {}

    def get(name: str) -> Up:
        return made.setdefault(name, Up(tmp_path / name))

    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    yield get
    for each in made.values():
        each.stop()
        forget(each.home)


def client(up: Up) -> Client:
    platform = Home(up.home).platform()
    return Client(platform["url"], platform["token"])


def run(up: Up) -> Any:
    started = client(up).in_project("POST", "pipelines/orders/runs/", json={})
    finished = client(up).wait(started["id"], seconds=300)
    assert finished["state"] == "succeeded", finished["error"]
    return finished


def ids(up: Up) -> list[int]:
    answer = client(up).in_project("POST", "queries/", json={"sql": "SELECT id FROM orders ORDER BY id"})
    return [row[0] for row in answer["rows"]]


@pytest.mark.all
def test_a_backup_made_beside_runs_goes_on_in_an_empty_home(homes: Callable[[str], Up], tmp_path: Path) -> None:
    first, second, file, drop = homes("first"), homes("second"), tmp_path / "backup.tar", tmp_path / "drop"
    drop.mkdir()
    (drop / "orders-2026-01.csv").write_text("id,customer,amount\n1,ann,12.50\n2,ben,7.20\n")
    first.start("--port", "0", MANIFOLD_FILE_ROOTS=str(drop))
    body = {"slug": "order-drop", "title": "Orders", "connector": "local_files", "params": {"path": str(drop)}}
    client(first).in_project("POST", "sources/", json=body)
    client(first).in_project("POST", "sources/order-drop/discover/")
    client(first).in_project("POST", "pipelines/apply/", json={"text": DOCUMENT, "publish": True})
    run(first)
    (drop / "orders-2026-02.csv").write_text("id,customer,amount\n3,cem,1.50\n")
    under_way = client(first).in_project("POST", "pipelines/orders/runs/", json={})["id"]
    made = manifold("backup", str(file), "--home", str(first.home), "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["files"] > 0
    assert file.stat().st_mode & 0o077 == 0
    secrets = first.home / "secrets"
    kept = {name: (secrets / name).read_text() for name in ("master_key", "secret_key", "token")}
    assert not [name for name, text in kept.items() if text.strip().encode() in file.read_bytes()]
    assert client(first).call("GET", "events/", params={"verb": "backed up"})["results"]
    first.stop()

    done = manifold("restore", str(file), "--home", str(second.home))
    assert done.returncode == 0, done.stderr
    short = {"MANIFOLD_LEASE_SECONDS": "4", "MANIFOLD_HEARTBEAT_SECONDS": "1"}
    second.start("--port", "0", MANIFOLD_FILE_ROOTS=str(drop), **short)
    assert client(second).wait(under_way, seconds=300)["state"] == "succeeded", "a run that was under way is taken up"
    assert ids(second) == [1, 2, 3]
    (drop / "orders-2026-03.csv").write_text("id,customer,amount\n4,dan,2.50\n")
    assert run(second)["mode"] == "incremental"
    assert ids(second) == [1, 2, 3, 4], "what was read before the backup is not read again"
    assert client(second).call("GET", "events/verify/")["problems"] == []
    assert {name: (second.home / "secrets" / name).read_text() for name in kept} == kept
    again = manifold("restore", str(file), "--home", str(second.home))
    assert again.returncode == 1
    assert "is running in" in again.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive in the form of a backup; what is refused before the database is looked at needs no real one."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "part").write_bytes(gzip.compress(b"CREATE TABLE kept (id int); SELECT 1 / 0;"))
    return written(folder / "small.tar", folder)


def written(target: Path, folder: Path, **changed: Any) -> Path:
    with archive.writing(target) as out:
        manifest: dict[str, Any] = {
            "format": archive.FORMAT,
            "made_at": "2026-01-01T00:00:00+00:00",
            "files_included": True,
            "migrations": [["sources", "0001_initial"]],
            "database": out.add(archive.DATABASE, folder / "part"),
            "storage": [out.add("storage/runs/part.parquet", folder / "part")],
        } | changed
        bound = f"manifold backup {manifest['made_at']} {manifest['database'].sha256}".encode()
        secrets = {"master_key": "m", "secret_key": "s"}
        out.close_with({**manifest, "sealed": sealing.seal(secrets, PASSPHRASE, bound)})
    return target


def refused(file: Path, home: Path, **options: Any) -> str:
    done = manifold("restore", str(file), "--home", str(home), **options)
    assert done.returncode == 1, done.stdout
    assert not (home / "secrets").exists() or (home / "secrets" / "mine").exists()
    assert not list((home / "storage").rglob("*"))
    assert done.stderr.startswith("manifold: ")
    return done.stderr


def test_a_file_that_is_not_there_is_told_before_the_passphrase_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "nowhere.tar"
    assert refused(file, tmp_path / "home", passphrase="") == f"manifold: There is no file {file}.\n"


def test_another_passphrase(small: Path, tmp_path: Path) -> None:
    assert "The passphrase does not open this backup" in refused(small, tmp_path, passphrase="wrong horse battery")


def test_a_home_that_is_not_empty(small: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mine").touch()
    assert "is not empty: it has secrets" in refused(small, tmp_path)


def test_other_keys_in_the_environment(small: Path, tmp_path: Path) -> None:
    assert "MANIFOLD_MASTER_KEY is not the key of this backup" in refused(small, tmp_path, MANIFOLD_MASTER_KEY="other")


def test_a_database_that_cannot_be_loaded_leaves_nothing_behind(small: Path, tmp_path: Path, postgres_url: str) -> None:
    said = refused(small, tmp_path, DATABASE_URL=postgres_url, REDIS_URL="redis://127.0.0.1:1/0")
    assert "The database could not be loaded" in said
    assert "division by zero" in said
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'kept'").fetchone() == (0,)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"format": 2}, "made by a newer Manifold (format 2, this one reads 1). Upgrade Manifold first."),
        ({"migrations": [["sources", "0999_later"]]}, "the migration sources 0999_later"),
    ],
)
def test_one_of_a_newer_version(small: Path, tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    newer = written(tmp_path / "newer.tar", small.parent, **changed)
    assert says in refused(newer, tmp_path / "home")


@pytest.mark.parametrize("where", ["database.sql.gz", "storage/runs/part.parquet", "manifest"])
def test_a_byte_that_was_altered(small: Path, tmp_path: Path, where: str) -> None:
    whole = bytearray(small.read_bytes())
    needle = {"manifest": b'"format"'}.get(where, where.encode())
    # A member's content begins in the block after its name.
    whole[whole.index(needle) + (0 if where == "manifest" else 512)] ^= 1
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(whole)
    with pytest.raises(BackupError, match=r"damaged"):
        Archive(damaged).check()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_one_that_ends_too_early(small: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.tar"
    content = small.read_bytes().rstrip(b"\0")
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BackupError, match=r"damaged"):
        Archive(cut).check()


def test_a_name_that_leaves_the_storage(small: Path, tmp_path: Path) -> None:
    away = written(tmp_path / "away.tar", small.parent, storage=[["storage/../../x", 4, "0"]])
    with pytest.raises(BackupError, match="leaves the storage folder"):
        _ = Archive(away).files


def test_it_overwrites_nothing_and_asks_for_a_long_passphrase(tmp_path: Path) -> None:
    (tmp_path / "there.tar").touch()
    with pytest.raises(BackupError, match="exists already"), archive.writing(tmp_path / "there.tar"):
        pass
    with pytest.raises(BackupError, match="too short"):
        sealing.seal({}, "short", b"")
    assert "There is no installation in" in manifold("backup", str(tmp_path / "b"), "--home", str(tmp_path)).stderr
