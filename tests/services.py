"""The services the tests need: a PostgreSQL and a Valkey of their own, unless DATABASE_URL and REDIS_URL name others.

A pytest plugin, loaded by `-p tests.services`. It starts both before Django's settings are read, once for the whole
run; the workers of pytest-xdist inherit the addresses. The role of the tests may create databases but is no superuser,
as in production.
"""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from manifold.embedded import binaries, lifeline, postgres, valkey
from manifold.embedded.account import give, server_account
from tests.ports import own_port

_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


class Services:
    """What this test run has started."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.postgres: subprocess.Popen[bytes] | None = None
        self.valkey: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start what the environment does not name, and name it there."""
        self.folder = Path(tempfile.mkdtemp(prefix="manifold-tests-", dir=open_folder()))
        self.folder.chmod(0o755)
        atexit.register(self.stop)
        os.environ["MANIFOLD_HOME"] = str(self.folder / "home")
        os.environ.setdefault("MANIFOLD_SECRET_KEY", "only-for-tests-" + "0123456789abcdef" * 4)
        os.environ.setdefault("MANIFOLD_MASTER_KEY", base64.b64encode(bytes(range(32))).decode())
        # All tests have one address; those of the limit itself bring their own.
        os.environ.setdefault("MANIFOLD_TOKEN_GUESSES", "1000000")
        os.environ.setdefault("MANIFOLD_HOOK_MESSAGES", "1000000")
        if not os.environ.get("REDIS_URL"):
            self._start_valkey(self.folder / "valkey")
        if not os.environ.get("DATABASE_URL"):
            self._start_postgres(self.folder / "postgres")

    def _start_valkey(self, data: Path) -> None:
        server = valkey.Valkey(data, binaries.valkey_program(), own_port(), postgres.new_password(), durable=False)
        data.mkdir()
        with open(data / "log", "ab") as log:
            self.valkey = server.start(log, preexec=lifeline.before_exec(signal.SIGTERM))
        server.wait_until_ready(self.valkey)
        os.environ["REDIS_URL"] = server.url

    def _start_postgres(self, folder: Path) -> None:
        account = server_account()
        folder.mkdir()
        give(folder, account)
        cluster = postgres.Postgres(
            folder / "data", binaries.postgres_bin(account), own_port(), postgres.new_password(), account, _FAST
        )
        cluster.initialise()
        with open(folder / "log", "ab") as log:
            self.postgres = cluster.start(log, preexec=lifeline.before_exec(signal.SIGINT))
        cluster.wait_until_ready(self.postgres)
        os.environ["TEST_SUPERUSER_URL"] = cluster.superuser_url
        password = postgres.new_password()
        os.environ["DATABASE_URL"] = cluster.ensure_role("manifold", password, "manifold", createdb=True)
        _hash_once(cluster.superuser_url, "manifold", password)

    def stop(self) -> None:
        """Stop what was started; harmless when repeated."""
        if self.valkey is not None:
            self.valkey.terminate()
            self.valkey.wait(60)
            self.valkey = None
        if self.postgres is not None:
            postgres.stop(self.postgres)
            self.postgres = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def _hash_once(superuser_url: str, role: str, password: str) -> None:
    """Store a password without its 4096 rounds: a run makes thousands of connections, and they are most of each."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        # PostgreSQL 15 has no such setting.
        connection.execute("SELECT set_config(name, '1', false) FROM pg_settings WHERE name = 'scram_iterations'")
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))


_services = Services()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """Runs around pytest-django's hook of this name, which reads the settings."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _services.start()
    else:
        # A Redis database of its own, so that nobody takes another's messages; pytest-django does it for PostgreSQL.
        number = 1 + int(worker.removeprefix("gw")) % 15
        os.environ["REDIS_URL"] = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}"))
    yield


def pytest_unconfigure() -> None:
    _services.stop()


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The Valkey of this test run."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def superuser_url() -> str:
    """A superuser of the PostgreSQL of this test run; a server that was named by DATABASE_URL hands out none."""
    if "TEST_SUPERUSER_URL" not in os.environ:
        pytest.skip("DATABASE_URL names a server whose superuser is not known")
    return os.environ["TEST_SUPERUSER_URL"]


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty database of its own for a test of a connector; the role in it owns it and is no superuser."""
    with _scratch_database() as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url() -> Iterator[str]:
    """As `postgres_url`, but one for all tests of a module, which only read it."""
    with _scratch_database() as url:
        yield url


@contextmanager
def _scratch_database() -> Iterator[str]:
    parts = urlsplit(os.environ["DATABASE_URL"])
    name = f"scratch_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            drop_database(name)


def drop_database(database: str) -> None:
    """As the superuser where one is known: autovacuum may be at work there, and its process is not the owner's."""
    url = os.environ.get("TEST_SUPERUSER_URL") or os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


def open_folder() -> str | None:
    """Where temporary folders go: PostgreSQL's account has to reach them, which a private TMPDIR of root forbids."""
    return "/tmp" if os.geteuid() == 0 else None
