"""A whole installation for the browser: `manifold up` with its own database, a drop folder, and a database to read."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psycopg

from manifold.client import Client
from manifold.supervisor.home import Home
from tests.homes import forget

# What the services of the tests put into the environment must not reach an installation that brings its own.
_NAMED = ("DATABASE_URL", "REDIS_URL", "MANIFOLD_SECRET_KEY", "MANIFOLD_MASTER_KEY", "MANIFOLD_HOME")
_PATIENCE = 300.0

ORDERS = """\
id,customer,amount,ordered_at
1,ann,12.50,2026-01-01 09:00:00
2,ben,7.20,2026-01-01 10:30:00
3,cem,99.00,2026-01-02 08:15:00
4,ann,3.99,2026-01-02 17:45:00
"""


class Installation:
    """`manifold up` in a folder of its own, empty but for its first administrator."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.drop = folder / "drop"
        self.said = folder / "said"
        self.drop.mkdir(parents=True)
        (self.drop / "orders-2026-01.csv").write_text(ORDERS)
        self.process: subprocess.Popen[bytes] | None = None
        self.password = ""

    def start(self, command: str = "up", *arguments: str) -> None:
        """Start it and wait until it answers. Raises RuntimeError with what it said instead."""
        environment = {name: value for name, value in os.environ.items() if name not in _NAMED}
        environment["MANIFOLD_FILE_ROOTS"] = str(self.drop)
        environment["MANIFOLD_NET_ALLOW"] = "127.0.0.0/8"
        line = [sys.executable, "-m", "manifold", command, "--home", str(self.home), "--port", "0", *arguments]
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(line, env=environment, stdout=said, stderr=said)
        deadline = time.monotonic() + _PATIENCE
        while "is ready" not in self.said.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.said.read_text())
            time.sleep(0.1)
        found = re.search(r"password (\S+)$", self.said.read_text(), re.MULTILINE)
        self.password = found.group(1) if found else self.password

    @property
    def url(self) -> str:
        return str(Home(self.home).platform()["url"])

    def client(self, project: str = "default") -> Client:
        """The API as the first administrator."""
        platform: dict[str, Any] = Home(self.home).platform()
        return Client(platform["url"], platform["token"], project)

    def stop(self) -> None:
        """Stop everything it started; harmless when repeated."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(_PATIENCE)
        self.process = None
        forget(self.home)


def fill(database: str) -> None:
    """A customers table in a database that a source reads."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL, since date)")
        connection.execute("INSERT INTO customers VALUES ('ann', 'Ann', '2020-02-02'), ('ben', 'Ben', NULL)")


def wait_until_served(url: str, seconds: float = 120) -> None:
    """Until the sign-in page is served."""
    deadline = time.monotonic() + seconds
    while httpx.get(f"{url}/login/", trust_env=False, timeout=seconds).status_code != 200:
        assert time.monotonic() < deadline, "no sign-in page"
        time.sleep(0.2)
