"""Restoring a backup into an empty home: everything is checked first, and what fails halfway is taken back."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manifold import environment, probes
from manifold.backup import archive, database, sealing
from manifold.backup.archive import Archive, Member
from manifold.backup.errors import BackupError
from manifold.backup.making import SECRETS, binding, log_module
from manifold.embedded.account import server_account
from manifold.supervisor.home import Home

APPS = Path(__file__).resolve().parent.parent.parent / "apps"

_CHUNK = 1 << 20


def restore(home: Home, source: Path, *, passphrase: str, who: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Bring back what the backup holds, and the tables up to date; returns its manifest. Raises BackupError."""
    found = Archive(source)
    try:
        _refuse_newer(found)
        secrets = sealing.unseal(found.manifest["sealed"], passphrase, binding(found.manifest))
        _refuse_other_keys(secrets)
        found.check()
        _refuse_what_is_there(home, found)
        home.hold()
        with _taken_back_unless_whole(home, found):
            for name in SECRETS:
                if name in secrets:
                    home.keep_secret(name, secrets[name])
            if found.manifest["files_included"]:
                _unpack(found)
            with database.started(home, say) as url:
                _refuse_tables(url)
                with found.open(archive.DATABASE) as compressed:
                    database.load(url, compressed)
                _bring_up_to_date(found, who)
    finally:
        found.close()
    return found.manifest


def _refuse_newer(found: Archive) -> None:
    for app, name in found.manifest["migrations"]:
        folder = APPS / app / "migrations"
        if folder.exists() and not (folder / f"{name}.py").exists():
            raise BackupError(
                f"{found.path} was made by a newer Manifold: its tables have the migration {app} {name}, which this "
                "version does not know. Upgrade Manifold first."
            )


def _refuse_other_keys(secrets: dict[str, str]) -> None:
    """A key that the environment names would hide the one that belongs to the rows."""
    for setting, name in ((environment.MASTER_KEY, "master_key"), (environment.SECRET_KEY, "secret_key")):
        if setting.is_named() and setting.read() != secrets[name]:
            raise BackupError(
                f"{setting.name} is not the key of this backup. Unset it, or name the key it was made with."
            )


def _refuse_what_is_there(home: Home, found: Archive) -> None:
    if home.is_held():
        raise BackupError(f"Manifold is running in {home.path}. Restore into an empty folder: --home DIR.")
    there = [name for name in ("secrets", "postgres", "valkey", "ports.json") if (home.path / name).exists()]
    if there:
        raise BackupError(
            f"{home.path} is not empty: it has {', '.join(there)}. Restore into an empty folder: --home DIR. "
            "Nothing was changed."
        )
    root = probes.storage_folder()
    if found.manifest["files_included"]:
        if root.exists() and any(root.iterdir()):
            raise BackupError(f"{root} is not empty. Empty it, or name another in MANIFOLD_STORAGE_URL.")
        return
    for each in found.files:
        path = root / each.name.removeprefix(archive.STORAGE)
        if not path.is_file() or archive.listed(each.name, path) != each:
            raise BackupError(
                f"The backup was made without its data files, and {path} is not the file it belongs to. "
                "Bring the storage folder back first, or name it in MANIFOLD_STORAGE_URL."
            )


def _refuse_tables(url: str) -> None:
    with database.connected(url) as connection:
        row = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchone()
    if row is not None:
        raise BackupError(f"The database is not empty: it has a table {row[0]}. Name an empty one in DATABASE_URL.")


@contextmanager
def _taken_back_unless_whole(home: Home, found: Archive) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for name in ("secrets", "logs", "postgres", "ports.json"):
            _remove(home.path / name)
        _remove(home.postgres_data(as_root=server_account() is not None))
        if found.manifest["files_included"]:
            for each in probes.storage_folder().glob("*"):
                _remove(each)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _unpack(found: Archive) -> None:
    """The data files, flushed. They were compared with the manifest; what is written now is compared again."""
    root = probes.storage_folder()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in found.files:
        target = root / each.name.removeprefix(archive.STORAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        if _write(found, each, target) != each.sha256:
            raise found.damaged(f"{each.name} is not what was written")


def _write(found: Archive, each: Member, target: Path) -> str:
    digest = hashlib.sha256()
    with found.open(each.name) as file, open(target, "xb") as out:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _bring_up_to_date(found: Archive, who: str) -> None:
    """The tables become those of this code, and the audit log learns of the restore."""
    log = log_module()
    log.bring_up_to_date()
    log.tell("restored", who, found.path.name, {"made_at": found.manifest["made_at"], "files": len(found.files)})
