"""The embedded PostgreSQL: made once, loopback only, scram passwords, an application role without privileges."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import psycopg
from psycopg import sql

from manifold.embedded.account import Account, give, popen_options
from manifold.embedded.errors import EmbeddedError

SUPERUSER = "manifold_owner"
# What fits beside the workers of one machine.
_CONFIGURATION = {
    "unix_socket_directories": "''",
    "listen_addresses": "'127.0.0.1'",
    "password_encryption": "'scram-sha-256'",
    "shared_buffers": "'64MB'",
    "max_connections": "100",
    "max_wal_size": "'1GB'",
    "checkpoint_timeout": "'15min'",
    "jit": "off",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "log_checkpoints": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    # A client that died must not keep its locks.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "'10s'",
}


@dataclass
class Postgres:
    """One cluster in `data`. Nothing runs until `start`; every method says what it promises."""

    data: Path
    bin: Path
    port: int
    superuser_password: str
    account: Account | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        return self._peek("PG_VERSION") is not None

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER, self.superuser_password, "postgres")

    def url(self, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    def check_version(self) -> None:
        """Raises EmbeddedError when the data was written by another major version than the programs here."""
        written = (self._peek("PG_VERSION") or "").strip()
        done = subprocess.run([str(self.bin / "postgres"), "--version"], capture_output=True, text=True, check=True)
        ours = done.stdout.split()[-1].split(".")[0]
        if written != ours:
            raise EmbeddedError(
                f"{self.data} was written by PostgreSQL {written}, but the programs here are PostgreSQL {ours}. "
                f"Install the PostgreSQL {written} it was made with, or restore a backup into a new MANIFOLD_HOME."
            )

    def initialise(self) -> None:
        """Make the cluster in a neighbouring folder and move it into place, so that half of one is never found."""
        parent = self.data.parent
        parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f"{self.data.name}.making-", dir=parent))
        password_file = making / "password"
        password_file.write_text(self.superuser_password + "\n")
        password_file.chmod(0o600)
        for path in (making, password_file):
            give(path, self.account)
        try:
            self._initdb(making / "data", password_file)
            (making / "data").rename(self.data)
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _initdb(self, data: Path, password_file: Path) -> None:
        # The data is flushed by the file system at once instead of file by file: a quarter of the time.
        durable = ["--no-sync"] if self.settings.get("fsync") == "off" else _sync_options()
        command = [str(self.bin / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "scram-sha-256"]
        command += [f"--pwfile={password_file}", "-E", "UTF8", *self._locale_options(), *durable]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment(), **popen_options(self.account)
        )
        if done.returncode != 0:
            raise EmbeddedError(
                f"PostgreSQL could not make its data folder {data}: {done.stderr.strip() or done.stdout}"
            )

    def _locale_options(self) -> list[str]:
        done = subprocess.run([str(self.bin / "postgres"), "--version"], capture_output=True, text=True, check=True)
        major = int(done.stdout.split()[-1].split(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz)"))
        return ["--locale-provider=builtin", "--locale=C.UTF-8"] if major >= 17 else ["--locale=C"]

    def command(self) -> list[str]:
        """The command line of the server in the foreground."""
        options = {**_CONFIGURATION, "port": str(self.port), **self.settings}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value.strip(chr(39))}")]
        return [str(self.bin / "postgres"), "-D", str(self.data), *arguments]

    def start(self, output: int | IO[bytes], *, preexec: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        """Start the server as a child of this process; its log goes to `output`. It is not ready yet."""
        return subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(),
            start_new_session=True,
            preexec_fn=preexec,  # noqa: PLW1509  callers have no threads
            **popen_options(self.account),
        )

    def is_ready(self) -> bool:
        """Whether it accepts our connections now. Raises EmbeddedError when it never will."""
        try:
            with psycopg.connect(self.superuser_url, connect_timeout=2):
                return True
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedError(
                    f"{self.data} was made with another password than the one kept in the data folder's secrets. "
                    "Put the secrets back that belong to it, or name another MANIFOLD_HOME."
                ) from error
            return False

    def move_aside(self) -> Path:
        """Make room for a new cluster without losing the old one; returns where that is now."""
        aside = self.data.with_name(f"{self.data.name}.{time.strftime('%Y%m%dT%H%M%S')}")
        self.data.rename(aside)
        return aside

    def wait_until_ready(self, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
        """Returns as soon as it accepts connections. Raises EmbeddedError when it dies or takes longer."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if server.poll() is not None:
                raise EmbeddedError(f"PostgreSQL in {self.data} stopped while starting (status {server.returncode}).")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL in {self.data} was not ready after {seconds:.0f} s.")
            time.sleep(0.03)

    def ensure_role(self, role: str, password: str, database: str, *, createdb: bool = False) -> str:
        """A role that is no superuser, and a database it owns; returns its address. Harmless when repeated."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            verb = sql.SQL("ALTER" if known else "CREATE")
            rights = sql.SQL("LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS {}").format(
                sql.SQL("CREATEDB" if createdb else "NOCREATEDB")
            )
            connection.execute(
                sql.SQL("{} ROLE {} {} PASSWORD {}").format(verb, sql.Identifier(role), rights, sql.Literal(password))
            )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(role))
                )
            connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        return self.url(role, password, database)

    def left_over(self) -> psutil.Process | None:
        """The server that a killed parent left running on this data, if there is one.

        postmaster.pid names a process and when it started; a process that merely got the same number is not ours.
        """
        lines = (self._peek("postmaster.pid") or "").splitlines()
        if len(lines) < 3 or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            started = abs(process.create_time() - int(lines[2])) < 60
            ours = "postgres" in process.name() and str(self.data) in process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
            return None
        return process if ours and started else None

    def _peek(self, name: str) -> str | None:
        try:
            return (self.data / name).read_text()
        except OSError:
            return None


def stop(process: psutil.Process | subprocess.Popen[bytes], seconds: float = 30) -> None:
    """A fast shutdown: sessions are ended, data is flushed. What does not stop in time is stopped immediately."""
    for number, patience in ((signal.SIGINT, seconds), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
        try:
            process.send_signal(number)
            process.wait(patience)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            continue
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass
        return


def new_password() -> str:
    """Letters and digits only, so that it needs no quoting in an address."""
    return secrets.token_hex(20)


def _sync_options() -> list[str]:
    return ["--sync-method=syncfs"] if sys.platform == "linux" else []


def _environment() -> dict[str, str]:
    """What the server needs, and none of our secrets."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "ICU_DATA")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
