"""The commands of docker-compose.yml, started without containers, with the secrets that docker/secrets.sh makes.

Root confines them as a container would: each finds its files where the image has them, and may write nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from manifold.embedded import lifeline
from tests.cluster import ROOT, Cluster
from tests.ports import own_port

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
CONFINED = os.geteuid() == 0
USER = 10001
OURS = ("prepare", "web", "worker", "system", "beat", "flower")
READY_SECONDS = 300.0


def dockerfile_command() -> list[str]:
    """What the image runs where a service names nothing else."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    found: list[str] = json.loads(text[text.rindex("CMD ") + 4 :])
    return found


class Composed:
    """The services of docker-compose.yml beside a PostgreSQL and a Valkey that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(folder / "servers", {})
        self.ports = {"8480": own_port(), "5555": own_port()}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.password = self.token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['8480']}"

    @property
    def data(self) -> Path:
        """The volume of data, from outside."""
        return self.folder / "data"

    def place(self, name: str) -> str:
        """Something in it, from within."""
        return f"/data/{name}" if CONFINED else str(self.data / name)

    def start(self) -> None:
        """As `docker compose up` does: the servers, `prepare` to its end, then everything else."""
        subprocess.run(["sh", str(ROOT / "docker" / "secrets.sh")], cwd=self.folder, check=True)
        (self.folder / "root").mkdir()
        for each in (self.data, self.data / "storage", self.data / "files"):  # as the image has them
            each.mkdir()
            if CONFINED:
                os.chown(each, USER, USER)
        for name in ("database_url", "database_admin_url", "redis_url"):
            self._readdress(self.folder / "secrets" / name)
        self.cluster.valkey.password = (self.folder / "secrets" / "redis_password").read_text()
        self.cluster.postgres.superuser_password = (self.folder / "secrets" / "postgres_password").read_text()
        self.cluster.start()
        self._make_roles()
        prepared = self.run("prepare")
        assert prepared.returncode == 0, prepared.stderr
        first = json.loads(prepared.stdout.strip().splitlines()[-1])
        self.password, self.token = first["password"], first["token"]
        for name in OURS[1:]:
            self._spawn(name)
        self.until(lambda: self.get("/startupz").status_code == 200, "every dependency")

    def _readdress(self, file: Path) -> None:
        text = file.read_text()
        text = text.replace("@postgres:5432", f"@127.0.0.1:{self.cluster.postgres.port}")
        file.chmod(0o644)
        file.write_text(text.replace("@redis:6379", f"@127.0.0.1:{self.cluster.valkey.port}"))

    def _make_roles(self) -> None:
        """What the image of PostgreSQL does with POSTGRES_USER and POSTGRES_DB, and then with our script."""
        owner = self.cluster.postgres.superuser_password
        with psycopg.connect(self.cluster.postgres.superuser_url, autocommit=True) as connection:
            connection.execute("DROP DATABASE manifold")
            connection.execute("DROP ROLE manifold")
            connection.execute("CREATE DATABASE manifold OWNER manifold_owner")
        script = (ROOT / COMPOSE["configs"]["application-role"]["file"]).read_text()
        script = script.replace("/run/secrets/", f"{self.folder}/secrets/")
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self.cluster.postgres.port), "PGPASSWORD": owner}
        place |= {"POSTGRES_USER": "manifold_owner", "POSTGRES_DB": "manifold"}
        place["PATH"] = f"{self.cluster.postgres.bin}:{os.environ['PATH']}"
        subprocess.run(["sh"], input=script.encode(), env=place, check=True)

    def environment(self, name: str) -> dict[str, str]:
        """What the container has, with its files and its neighbours where they are here."""
        kept = {"HOME": "/home/manifold"} if CONFINED else {"HOME": os.environ["HOME"]}
        kept["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        image = {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "manifold.settings", "REMAP_SIGTERM": "SIGQUIT"}
        image["MANIFOLD_HOME"] = self.place("").rstrip("/")
        given = {key: self._local(str(value)) for key, value in SERVICES[name]["environment"].items()}
        return {**kept, **image, **given}

    def _local(self, text: str) -> str:
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
        text = text.replace("http://flower:", "http://127.0.0.1:").replace("0.0.0.0", "127.0.0.1")
        if not CONFINED:
            text = text.replace("/run/secrets/", f"{self.folder}/secrets/")
        return re.sub(rf"\b({'|'.join(self.ports)})\b", lambda found: str(self.ports[found[0]]), text)

    def command(self, name: str) -> list[str]:
        return self._confined(self._local(each) for each in SERVICES[name].get("command") or dockerfile_command())

    def _confined(self, words: Iterable[str]) -> list[str]:
        if not CONFINED:
            return list(words)
        places = [self.folder / "root", self.data, self.folder / "secrets", ROOT, sys.base_prefix]
        return ["unshare", "--mount", "sh", str(ROOT / "tests/manifold/confined.sh"), *map(str, places), *words]

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """A service that ends by itself."""
        return self._run(name, self.command(name))

    def execute(self, name: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command in the container of a service, as `docker compose exec` gives it."""
        return self._run(name, self._confined(words), **environment)

    def _run(self, name: str, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        env = self.environment(name) | environment
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """The health check of a service."""
        kind, *words = SERVICES[name]["healthcheck"]["test"]
        line = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        return self.execute(name, *(self._local(each).replace("$(hostname)", socket.gethostname()) for each in line))

    def _spawn(self, name: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name),
                cwd=ROOT,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lifeline.before_exec(signal.SIGKILL),  # noqa: PLW1509  nobody has threads here
            )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=60, trust_env=False, **options)

    def until(self, happened: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self._holds(happened):
            dead = [name for name, each in self.processes.items() if each.poll() is not None]
            logs = "\n".join((self.folder / f"{name}.log").read_text(errors="replace")[-2000:] for name in dead)
            assert not dead and time.monotonic() < deadline, f"not within {seconds} s: {what}. {dead} ended:\n{logs}"
            time.sleep(0.1)

    def _holds(self, happened: Callable[[], bool]) -> bool:
        try:
            return happened()
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        for each in self.processes.values():
            each.send_signal(signal.SIGTERM)
        for each in self.processes.values():
            try:
                each.wait(60)
            except subprocess.TimeoutExpired:
                each.kill()
        self.cluster.stop()
