"""The services the platform stands on: embedded ones of this home, or those the environment names."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import redis

from manifold import environment
from manifold.embedded import binaries, lifeline, ports, postgres, valkey
from manifold.embedded.account import give, server_account
from manifold.probes import broker_client, place
from manifold.supervisor.home import Home, StartError
from manifold.supervisor.watch import Say, Watch

ROLE = DATABASE = "manifold"


class Services:
    """PostgreSQL and Valkey for one home."""

    def __init__(self, home: Home, say: Say) -> None:
        self.home = home
        self.say = say
        self.ports = home.ports()
        self.postgres = None if environment.DATABASE_URL.is_named() else self._postgres()
        self.valkey = None if environment.REDIS_URL.is_named() else self._valkey()
        self._making: Future[None] | None = None
        self._executor = ThreadPoolExecutor(1)

    def _port(self, name: str) -> int:
        """The port of the last time; another one, and a word about it, when somebody has taken it since."""
        remembered = self.ports.get(name)
        if remembered and ports.is_free(remembered):
            return remembered
        chosen = ports.free_port(avoid=tuple(self.ports.values()))
        if remembered:
            who = ports.holder(remembered) or "another program"
            self.say(
                f"Port {remembered} of the embedded {name} is taken by {who}; it moves to {chosen}. "
                "Sources that name the old port have to be corrected."
            )
        self.ports[name] = chosen
        return chosen

    def _postgres(self) -> postgres.Postgres:
        account = server_account()
        data = self.home.postgres_data(as_root=account is not None)
        made_here = bool(self.home.secret("postgres_owner", make=False))
        password = self.home.secret("postgres_owner")
        server = postgres.Postgres(data, binaries.postgres_bin(account), 0, password, account)
        left = server.left_over()
        if left is not None:
            self.say(f"Stopping the PostgreSQL (process {left.pid}) that an earlier start left running.")
            postgres.stop(left)
        server.port = self._port("postgres")
        if server.exists and not made_here:
            # The data of root's PostgreSQL lies outside of the home and outlives its removal.
            self.say(f"The database of an earlier installation in this folder was moved to {server.move_aside()}.")
        if server.exists:
            server.check_version()
        return server

    def _valkey(self) -> valkey.Valkey:
        return valkey.Valkey(
            self.home.path / "valkey", binaries.valkey_program(), self._port("valkey"), self.home.secret("valkey")
        )

    def export(self) -> None:
        """Put the addresses where the settings find them, and where `manage.py` beside the platform finds them."""
        if self.postgres is not None:
            url = self.postgres.url(ROLE, self.home.secret("postgres_role"), DATABASE)
            os.environ[environment.DATABASE_URL.name] = url
            self.home.keep_secret("database_url", url)
        if self.valkey is not None:
            os.environ[environment.REDIS_URL.name] = self.valkey.url
            self.home.keep_secret("redis_url", self.valkey.url)

    def start_making(self) -> None:
        """Make the database cluster while other things happen; a thread, because initdb is a program of its own."""
        server = self.postgres
        if server is None or server.exists:
            return
        server.data.parent.mkdir(parents=True, exist_ok=True)
        if server.account is not None:
            server.data.parent.parent.chmod(0o755)
            give(server.data.parent, server.account)
        self._making = self._executor.submit(server.initialise)

    def start_valkey(self, watch: Watch) -> None:
        if self.valkey is not None:
            server, prepare = self.valkey, lifeline.before_exec(signal.SIGTERM)
            watch.add("valkey", spawn=lambda out: server.start(out, preexec=prepare), patience=10)

    def start_postgres(self, watch: Watch) -> None:
        """Start it as soon as it is made, and wait until it and Valkey answer and the role exists."""
        self.wait_until_made()
        if self.postgres is not None:
            server, prepare = self.postgres, lifeline.before_exec(signal.SIGINT)
            child = watch.add(
                "postgres",
                spawn=lambda out: server.start(out, preexec=prepare),
                stop_signal=signal.SIGINT,
                patience=60,
            )
            watch.until_ready(child, server.is_ready)
            self.ensure_role()
        if self.valkey is not None:
            watch.until_ready(watch.children["valkey"], self.valkey.is_ready)

    def wait_until_made(self) -> None:
        """Return when the cluster is there. No thread may be left when children are forked."""
        if self._making is not None:
            self._making.result()
        if self.postgres is not None and self.postgres.account is not None:
            self.home.sign_shared()
        self._executor.shutdown(wait=True)

    def ensure_role(self) -> str:
        """The application's role and database in the embedded server, which runs; their address."""
        assert self.postgres is not None
        return self.postgres.ensure_role(ROLE, self.home.secret("postgres_role"), DATABASE)

    def check_named(self) -> None:
        """Raises StartError when a service that the environment names does not answer."""
        if self.postgres is None:
            url = environment.DATABASE_URL.read()
            try:
                psycopg.connect(url, connect_timeout=5).close()
            except psycopg.Error as error:
                raise StartError(
                    f"DATABASE_URL: PostgreSQL at {place(url)} cannot be used: {str(error).strip()}. "
                    "Start it, correct DATABASE_URL, or unset it for the embedded one."
                ) from error
        if self.valkey is None:
            url = environment.REDIS_URL.read()
            try:
                with broker_client(url) as client:
                    client.ping()
            except (redis.RedisError, ValueError) as error:
                raise StartError(
                    f"REDIS_URL: Redis at {place(url)} cannot be used: {error}. "
                    "Start it, correct REDIS_URL, or unset it for the embedded one."
                ) from error
