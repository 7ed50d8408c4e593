"""A whole platform in a folder of its own, for as long as a measurement lasts."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from manifold.client import Client, platform_file
from manifold.embedded import binaries, lifeline, postgres
from manifold.embedded.account import give, server_account
from manifold.embedded.ports import free_port
from tests.homes import forget

ROLE = DATABASE = "bench"
# `python -m manifold` as where it was installed: without pandas and numpy, which only tests bring. DuckDB and pyarrow
# import both where they find them, some 60 MB in each process that does.
_MANIFOLD = """
import sys
from manifold.cli import main

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("numpy", "pandas"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
main(prog_name="manifold")
"""


@dataclass
class Installation:
    """`manifold up` in `home`; `ready_after` is the time from its start to a served sign-in page, in seconds."""

    home: Path
    process: subprocess.Popen[bytes]
    url: str
    ready_after: float

    @property
    def client(self) -> Client:
        return Client.from_environment(self.home)

    def memory_mb(self) -> float:
        """Proportional set size of every process of the platform."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(each.memory_full_info().pss for each in family) / 2**20


@contextmanager
def installation(home: Path, environment: dict[str, str]) -> Iterator[Installation]:
    """Start it, wait for the sign-in page, stop it cleanly at the end."""
    port = free_port()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", _MANIFOLD, "up", "--home", str(home), "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for_page(url, process)
        ready_after = time.monotonic() - began
        _wait_for_token(home)
        yield Installation(home, process, url, ready_after)
    finally:
        process.terminate()
        process.wait(60)
        forget(home)


def _wait_for_page(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the platform stopped while starting (status {process.returncode})")
        try:
            answer = httpx.get(f"{url}/", follow_redirects=True, timeout=2, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.05)
            continue
        if answer.status_code == 200 and b"password" in answer.content:
            return
        time.sleep(0.05)
    raise RuntimeError(f"no sign-in page at {url} after {seconds} s")


def _wait_for_token(home: Path, seconds: float = 60) -> None:
    """The command's token is made a moment after the page is up, and stands in platform.json then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not platform_file(home)["token"]:
        time.sleep(0.05)


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own to read from; yields the address of a role that is no superuser."""
    account = server_account()
    folder.mkdir()
    give(folder, account)
    program, password = binaries.postgres_bin(account), postgres.new_password()
    server = postgres.Postgres(folder / "data", program, free_port(), password, account)
    server.initialise()
    with open(folder / "log", "ab") as log:
        running = server.start(log, preexec=lifeline.before_exec(signal.SIGINT))
    try:
        server.wait_until_ready(running)
        yield server.ensure_role(ROLE, postgres.new_password(), DATABASE)
    finally:
        postgres.stop(running)


def open_folder() -> str:
    """Where temporary folders go that another account can enter, too."""
    return tempfile.gettempdir()
