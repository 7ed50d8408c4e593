"""Making a backup, also while runs go on: the rows of one moment, and every file that they name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import psycopg

from apps.audit.ticks import lock_number
from manifold import environment, probes
from manifold.backup import archive, database, sealing
from manifold.backup.archive import Member
from manifold.backup.errors import BackupError
from manifold.supervisor.home import Home

# The name of the tick that removes files nobody needs; it does not work while its lock is held.
COLLECTING = "apps.pipelines.collecting.sweep"
SECRETS = ("master_key", "secret_key", "token")


@dataclass(frozen=True)
class Made:
    """What a backup holds."""

    file: Path
    bytes: int
    files: int
    files_included: bool


def make(home: Home, target: Path, *, passphrase: str, files: bool, who: str, say: Callable[[str], None]) -> Made:
    """Write a backup of the installation in a home. Raises BackupError; then there is no file."""
    if not (home.path / "secrets").exists() and not environment.DATABASE_URL.is_named():
        raise BackupError(f"There is no installation in {home.path}. Name its folder with --home or MANIFOLD_HOME.")
    secrets = _secrets(home)
    with database.reached(home, say) as url:
        count = _write(url, target, secrets, passphrase, files=files)
        log_module().tell("backed up", who, target.name, {"files": count, "files_included": files})
    return Made(target, target.stat().st_size, count, files)


def _write(url: str, target: Path, secrets: dict[str, str], passphrase: str, *, files: bool) -> int:
    """Write the archive; returns how many data files it knows."""
    with (
        archive.writing(target) as out,
        _one_moment(url) as rows,
        tempfile.TemporaryDirectory(prefix="manifold-backup-", dir=target.absolute().parent) as folder,
    ):
        dump = Path(folder) / archive.DATABASE
        database.dump(url, _text(rows, "SELECT pg_export_snapshot()"), dump)
        manifest: dict[str, Any] = {
            "format": archive.FORMAT,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "files_included": files,
            "migrations": [list(each) for each in rows.execute("SELECT app, name FROM django_migrations ORDER BY id")],
            "database": out.add(archive.DATABASE, dump),
            "storage": list(_stored(out, files=files)),
        }
        _miss_nothing(rows, {each.name for each in manifest["storage"]})
        manifest["sealed"] = sealing.seal(secrets, passphrase, binding(manifest))
        out.close_with(manifest)
    return len(manifest["storage"])


def log_module() -> Any:
    """`manifold.backup.log`, imported with Django set up; the address of the database must be in the environment."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")
    django.setup()
    return import_module("manifold.backup.log")


def binding(manifest: dict[str, Any]) -> bytes:
    """What ties the sealed keys to this backup: keys that were moved into another one do not open."""
    return f"manifold backup {manifest['made_at']} {Member(*manifest['database']).sha256}".encode()


def _secrets(home: Home) -> dict[str, str]:
    """The keys of the installation, and the token of its command where it has one."""
    found = {
        "master_key": environment.MASTER_KEY.read(),
        "secret_key": environment.SECRET_KEY.read(),
        "token": home.secret("token", make=False),
    }
    keys = probes.ask("keys", probes.keys)
    if not keys.up:
        raise BackupError(f"{keys.detail} {keys.remedy}")
    return {name: value for name, value in found.items() if value}


@contextmanager
def _one_moment(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A transaction that sees one moment. No file that its rows name is removed before it ends."""
    with database.connected(url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_number(COLLECTING)])
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


def _stored(out: archive.Writer, *, files: bool) -> Iterator[Member]:
    root = probes.storage_folder()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or not path.is_file() or name.startswith("."):
            continue
        try:
            yield out.add(archive.STORAGE + name, path) if files else archive.listed(archive.STORAGE + name, path)
        except FileNotFoundError:
            continue  # an execution that failed meanwhile; what rows name is asked for below


def _miss_nothing(rows: psycopg.Connection[tuple[object, ...]], there: set[str]) -> None:
    for (path,) in rows.execute("SELECT path FROM snapshots_datafile WHERE removed_in IS NULL ORDER BY path"):
        if f"{archive.STORAGE}{path}" not in there:
            raise BackupError(
                f"The data file {path} is not in the storage folder. If its dataset was deleted just now, repeat the "
                "backup; otherwise bring the file back from an earlier one."
            )


def _text(rows: psycopg.Connection[tuple[object, ...]], query: str) -> str:
    row = rows.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])
