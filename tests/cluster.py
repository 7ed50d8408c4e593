"""PostgreSQL, Valkey and real Celery workers of their own, to be measured, killed and frozen. Loopback only."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from manifold.embedded import binaries, lifeline, postgres, valkey
from manifold.embedded.account import give, server_account
from tests.ports import own_port

ROOT = Path(__file__).parent.parent


class Cluster:
    """The services of one installation in `folder`. `environment` holds what its processes read."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, fsync: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder = folder
        account = server_account()
        fast = {} if fsync else {"fsync": "off", "full_page_writes": "off"}
        give_folder = folder / "postgres"
        give_folder.mkdir()
        give(give_folder, account)
        program, password = binaries.postgres_bin(account), postgres.new_password()
        self.postgres = postgres.Postgres(give_folder / "data", program, own_port(), password, account, fast)
        self.valkey = valkey.Valkey(
            folder / "valkey", binaries.valkey_program(), own_port(), postgres.new_password(), durable=fsync
        )
        self.environment = {
            **os.environ,
            "MANIFOLD_HOME": str(folder / "home"),
            "MANIFOLD_SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
            "MANIFOLD_MASTER_KEY": base64.b64encode(bytes(range(32))).decode(),
            "MANIFOLD_LOG_LEVEL": "warning",
            "REDIS_URL": self.valkey.url,
            **settings,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Initialise and start both servers; `environment` then names them."""
        self.postgres.initialise()
        self.start_valkey()
        self.start_postgres()
        self.environment["DATABASE_URL"] = self.postgres.ensure_role("manifold", postgres.new_password(), "manifold")

    def start_postgres(self) -> None:
        with open(self.folder / "postgres.log", "ab") as log:
            server = self.postgres.start(log, preexec=lifeline.before_exec(signal.SIGINT))
        self.postgres.wait_until_ready(server)
        self.processes["postgres"] = server

    def start_valkey(self) -> None:
        with open(self.folder / "valkey.log", "ab") as log:
            server = self.valkey.start(log, preexec=lifeline.before_exec(signal.SIGTERM))
        self.valkey.wait_until_ready(server)
        self.processes["valkey"] = server

    def restart(self, name: str, number: signal.Signals) -> None:
        """Stop a server with this signal (SIGQUIT is PostgreSQL's immediate mode) and start it again."""
        self.processes[name].send_signal(number)
        self.processes[name].wait(60)
        if name == "postgres":
            self.start_postgres()
        else:
            self.start_valkey()

    def start_worker(self, name: str, queues: str, concurrency: int) -> None:
        """A Celery worker that also knows the kinds of tests; ready some time after this returns."""
        ready = self.folder / f"{name}.ready"
        ready.unlink(missing_ok=True)
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.worker", name, queues, str(concurrency), str(ready)],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lifeline.before_exec(signal.SIGKILL),  # noqa: PLW1509  nobody has threads here
            )

    def wait_for_worker(self, name: str, seconds: float = 300) -> None:
        until = time.monotonic() + seconds
        while not (self.folder / f"{name}.ready").exists():
            if self.processes[name].poll() is not None or time.monotonic() > until:
                log = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"The worker {name} did not start:\n{log}")
            time.sleep(0.02)

    def children(self, name: str) -> list[psutil.Process]:
        """The processes of a worker that run steps."""
        try:
            return psutil.Process(self.processes[name].pid).children()
        except psutil.NoSuchProcess:
            return []

    def kill(self, name: str) -> None:
        """Kill a main process and its children: one that was just forked has not asked the kernel for it yet."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait(60)

    def stop(self) -> None:
        """Stop everything; harmless when repeated."""
        workers = [each for name, each in self.processes.items() if name not in ("postgres", "valkey")]
        for each in workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
        for each in workers:
            each.wait(60)
        if "valkey" in self.processes:
            self.processes["valkey"].kill()
            self.processes["valkey"].wait(60)
        if "postgres" in self.processes:
            postgres.stop(self.processes["postgres"])
        self.processes.clear()

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
