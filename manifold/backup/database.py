"""The platform's PostgreSQL for a backup: reached, or started for as long as it takes; dumped and loaded."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg

from manifold import environment
from manifold.backup.errors import BackupError
from manifold.embedded import binaries, lifeline, postgres
from manifold.embedded.errors import EmbeddedError
from manifold.probes import place
from manifold.supervisor.home import Home
from manifold.supervisor.services import Services

_CHUNK = 1 << 20


@contextmanager
def reached(home: Home, say: Callable[[str], None]) -> Iterator[str]:
    """The address of the database, as the role that owns the tables.

    An embedded server that does not run is started, in a home that nobody else holds, and stopped again.
    """
    if environment.DATABASE_URL.is_named() or home.is_held():
        yield environment.DATABASE_ADMIN_URL.read() or environment.DATABASE_URL.read()
        return
    home.hold()
    with started(home, say) as url:
        yield url


@contextmanager
def started(home: Home, say: Callable[[str], None]) -> Iterator[str]:
    """The embedded server of a home that this process holds, made where there is none. Named ones are just reached."""
    services = Services(home, say)
    services.export()
    server = services.postgres
    if server is None:
        yield environment.DATABASE_ADMIN_URL.read() or environment.DATABASE_URL.read()
        return
    services.start_making()
    services.wait_until_made()
    with open(home.folder("logs") / "postgres.log", "ab") as log:
        process = server.start(log, preexec=lifeline.before_exec(signal.SIGINT))
    try:
        server.wait_until_ready(process)
        yield services.ensure_role()
    finally:
        postgres.stop(process)


def connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(url, connect_timeout=5)
    except psycopg.Error as error:
        raise BackupError(
            f"PostgreSQL at {place(url)} does not let us in: {str(error).strip()}. Start it, or correct DATABASE_URL."
        ) from error


def dump(url: str, snapshot: str, target: Path) -> None:
    """A plain, compressed dump of what the exported snapshot sees; owners and rights are left out."""
    command = [str(_program("pg_dump", url)), f"--snapshot={snapshot}", "--no-owner", "--no-acl", _target(url)]
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, env=_environment(url), stdout=subprocess.PIPE, stderr=complaints) as process:
            assert process.stdout is not None
            with gzip.open(target, "wb", compresslevel=6) as out:
                shutil.copyfileobj(process.stdout, out, _CHUNK)
        if process.returncode != 0:
            raise BackupError(f"pg_dump failed: {_said(complaints)}")


def load(url: str, compressed: IO[bytes]) -> None:
    """Load a dump into an empty database, whole or not at all."""
    options = ["--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1", _target(url)]
    command = [str(_program("psql", url)), *options]
    with tempfile.TemporaryFile() as complaints:
        with (
            subprocess.Popen(
                command, env=_environment(url), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints
            ) as process,
            gzip.open(compressed) as script,
        ):
            assert process.stdin is not None
            try:
                _copy(script, process.stdin)
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has said why
        if process.returncode != 0:
            raise BackupError(f"The database could not be loaded: {_said(complaints)}")


def _target(url: str) -> str:
    """The database without its password: everybody may read a command line."""
    parts = urlsplit(url)
    user, _, place_ = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}@{place_}" if user else place_
    return f"--dbname={urlunsplit(parts._replace(netloc=netloc))}"


def _environment(url: str) -> dict[str, str]:
    return {**os.environ, "PGPASSWORD": unquote(urlsplit(url).password or "")}


def _copy(script: gzip.GzipFile, out: IO[bytes]) -> None:
    """All lines but the setting that PostgreSQL before 17 does not know, which stands in the head."""
    for line in script:
        if not line.startswith(b"SET transaction_timeout"):
            out.write(line)
        if line.startswith((b"CREATE ", b"ALTER ")):
            break
    shutil.copyfileobj(script, out, _CHUNK)


def _said(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode("utf-8", "replace").strip().splitlines()
    return lines[0] if lines else "it said nothing"


def _program(name: str, url: str) -> Path:
    """A `pg_dump` or `psql` that is not older than the server: the wheel's, else one on PATH."""
    with connected(url) as connection:
        server = connection.info.server_version // 10000
    for program in _candidates(name):
        done = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
        found = re.search(r"(\d+)", done.stdout)
        if done.returncode == 0 and found and int(found[1]) >= server:
            return program
    raise BackupError(f"There is no {name} of PostgreSQL {server} or newer here. Install one and put it on PATH.")


def _candidates(name: str) -> Iterator[Path]:
    with suppress(EmbeddedError):
        yield binaries.postgres_bin(None) / name
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
