"""A MariaDB of the tests' own: on loopback, in a folder of its own, as an ordinary account, gone with its parent."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

from manifold.embedded import lifeline
from manifold.embedded.account import give, popen_options, server_account
from tests.ports import own_port
from tests.services import open_folder

_PROGRAMS = ("mariadb-install-db", "mariadbd", "my_print_defaults")
_OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--max-allowed-packet=4M",
    "--default-time-zone=+05:30",
    "--innodb-lock-wait-timeout=20",
)
"""Durability does not matter here. The time zone is odd, so that whoever trusts it is found out."""


class MariaDB:
    """One server below `folder`, which other accounts can enter. Its superuser is `root` without a password."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        self.folder, self.data, self.options = folder, folder / "data", options
        self.port = own_port()
        self.account = server_account()
        self.process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        """Raises RuntimeError where Debian's packages are not installed."""
        missing = [each for each in _PROGRAMS if _found(each) is None]
        if missing:
            raise RuntimeError(
                f"There is no {', '.join(missing)} here. Install them: "
                "apt-get install --no-install-recommends mariadb-server-core mariadb-client-core"
            )
        self.data.mkdir()
        give(self.data, self.account)
        subprocess.run(
            [
                _found("mariadb-install-db") or "",
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--datadir={self.data}",
            ],
            check=True,
            capture_output=True,
            **popen_options(self.account),
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [
            _found("mariadbd") or "",
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.data}/socket",
            f"--pid-file={self.data}/pid",
            f"--port={self.port}",
            *_OPTIONS,
            *self.options,
        ]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lifeline.before_exec(signal.SIGTERM),  # noqa: PLW1509  nobody has threads here
                **popen_options(self.account),
            )
        until = time.monotonic() + 300
        while True:
            try:
                self.connect().close()
                return
            except pymysql.err.OperationalError:
                if self.process.poll() is not None or time.monotonic() > until:
                    said = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"MariaDB did not start:\n{said}") from None
            time.sleep(0.05)

    def connect(self, database: str | None = None, *, timeout: float | None = None) -> pymysql.Connection:
        """A session of the superuser that commits by itself."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True, read_timeout=timeout
        )

    def stop(self) -> None:
        """Stop it cleanly; harmless when repeated."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None


@dataclass(frozen=True)
class Database:
    """A database of its own, and a user who may do everything in it and nothing elsewhere."""

    server: MariaDB
    name: str
    password: str

    @property
    def params(self) -> dict[str, Any]:
        """What a source of it is given."""
        return {
            "host": "127.0.0.1",
            "port": self.server.port,
            "database": self.name,
            "user": self.name,
            "password": self.password,
        }

    def do(self, *statements: str) -> None:
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            for each in statements:
                cursor.execute(each)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.server.connect(self.name) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[MariaDB]:
    """The MariaDB of this test run."""
    folder = Path(tempfile.mkdtemp(prefix="manifold-mariadb-", dir=open_folder()))
    try:
        with mariadb(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mysql(mysql_server: MariaDB) -> Iterator[Database]:
    """An empty database for a test."""
    with database(mysql_server) as found:
        yield found


@pytest.fixture(scope="module")
def module_mysql(mysql_server: MariaDB) -> Iterator[Database]:
    """As `mysql`, but one for all tests of a module, which only read it."""
    with database(mysql_server) as found:
        yield found


@contextmanager
def database(server: MariaDB) -> Iterator[Database]:
    """An empty database while the block lasts, and its user."""
    found = Database(server, f"t{uuid.uuid4().hex}", f"\"it's {uuid.uuid4().hex}\\")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {found.name} CHARACTER SET utf8mb4")
        cursor.execute(f"CREATE USER {found.name}@'127.0.0.1' IDENTIFIED BY %s", [found.password])
        cursor.execute(f"GRANT ALL ON {found.name}.* TO {found.name}@'127.0.0.1'")
        yield found
        cursor.execute(f"DROP USER {found.name}@'127.0.0.1'")
        cursor.execute(f"DROP DATABASE {found.name}")


@contextmanager
def mariadb(folder: Path, *options: str) -> Iterator[MariaDB]:
    """A running server; `folder` is made for it, in one that others may enter."""
    folder.mkdir(parents=True)
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    server = MariaDB(folder, options)
    server.initialise()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def installed() -> bool:
    """Whether Debian's packages are there."""
    return all(_found(each) for each in _PROGRAMS)


def _found(program: str) -> str | None:
    """Debian keeps servers where ordinary accounts do not look."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
