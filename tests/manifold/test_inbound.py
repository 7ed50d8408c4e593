"""Events of inbound webhooks where things go wrong: what was acknowledged is kept, and what comes again is kept once.

PostgreSQL lies on a small tmpfs, which only root may mount: `make test-all` as root shows a full disk, too.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook

from apps.accounts.services import create_project
from apps.audit.context import SYSTEM
from apps.sources import services as sources
from manifold.embedded import lifeline
from tests.cluster import ROOT, Cluster
from tests.people import make_user
from tests.ports import own_port

pytestmark = pytest.mark.all

IS_ROOT = os.geteuid() == 0
DISK_MB = 240
_ADD = "import django; django.setup(); from tests.manifold import test_inbound; test_inbound.add()"


def add() -> None:
    """In a process of its own, which works in the cluster: adds the source."""
    project = create_project(slug="shop", name="Shop", admin=make_user("admin", superuser=True), actor=SYSTEM)
    params = {"largest_kb": 2_048}
    made = sources.create_source(project, slug="events", title="", connector="webhooks", params=params, actor=SYSTEM)
    sys.stdout.write(f"{made.pk} {sources.rotate_secret(made, actor=SYSTEM)}")


class Shop:
    """A source behind a web process that may be killed, and whoever sends to it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.environment["DJANGO_SETTINGS_MODULE"] = "manifold.settings"
        self._python("-m", "manage", "migrate", "-v", "0")
        self.source, self.secret = self._python("-c", _ADD).split()
        self.port = own_port()
        self.start()

    def start(self) -> None:
        line = [sys.executable, "-m", "gunicorn", "manifold.wsgi", "-b", f"127.0.0.1:{self.port}", "--threads", "4"]
        with open(self.cluster.folder / "web.log", "ab") as log:
            self.cluster.processes["web"] = subprocess.Popen(
                line,
                cwd=ROOT,
                env=self.cluster.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lifeline.before_exec(signal.SIGKILL),  # noqa: PLW1509  nobody has threads here
            )
        until(self.answers)

    def kill(self) -> None:
        os.killpg(self.cluster.processes["web"].pid, signal.SIGKILL)
        self.cluster.processes["web"].wait(60)

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False, timeout=60).is_success
        except httpx.TransportError:
            return False

    def request(self, name: str, size: int) -> httpx.Request:
        """An event that takes about so many bytes wherever it is kept: nothing makes it smaller."""
        body, now = base64.b64encode(secrets.token_bytes(size * 3 // 4)).decode(), datetime.now(UTC)
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(name, now, body),
        }
        return httpx.Request("POST", f"http://127.0.0.1:{self.port}/in/{self.source}", headers=headers, content=body)

    def send(self, name: str, size: int = 100) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=60) as client:
            return client.send(self.request(name, size))

    def kept(self) -> Counter[str]:
        with psycopg.connect(self.cluster.environment["DATABASE_URL"]) as connection:
            return Counter(name for (name,) in connection.execute("SELECT message_id FROM sources_inboxevent"))

    def _python(self, *arguments: str) -> str:
        line = [sys.executable, *arguments]
        done = subprocess.run(
            line, cwd=ROOT, env=self.cluster.environment, stdout=subprocess.PIPE, check=True, text=True
        )
        return done.stdout


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < end, "it did not happen within 300 s"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """PostgreSQL's account has to reach it, too."""
    with tempfile.TemporaryDirectory(prefix="manifold-shop-") as name:
        if IS_ROOT:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", name], check=True)
        try:
            yield Path(name)
        finally:
            if IS_ROOT:
                subprocess.run(["umount", "--lazy", name], check=True)


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[Shop]:
    folder.chmod(0o755)
    with Cluster(folder / "cluster", {"MANIFOLD_INBOX_EVENTS": "100000"}) as cluster:
        yield Shop(cluster)


def test_an_event_whose_answer_was_lost_with_its_taker_is_kept_once(shop: Shop):
    request = shop.request("killed", 100)
    lines = [f"POST {request.url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    # Whoever sends has gone when the answer could come.
    with socket.create_connection(("127.0.0.1", shop.port), timeout=60) as sender:
        sender.sendall("\r\n".join([*lines, "", ""]).encode() + request.content)
    until(lambda: "killed" in shop.kept())
    shop.kill()
    shop.start()
    again = shop.send("killed")
    assert (again.status_code, again.json()) == (200, {"taken": False})
    assert shop.kept()["killed"] == 1


@pytest.mark.parametrize(("size", "status"), [(100_000, 202), (3 << 20, 413)])
def test_an_event_whose_length_is_not_told_is_taken_up_to_its_largest(shop: Shop, size: int, status: int):
    told = shop.request(f"pieces-{size}", size)
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    pieces = (told.content[at : at + 65_536] for at in range(0, len(told.content), 65_536))
    headers = {name: told.headers[name] for name in names}
    answer = httpx.post(told.url, content=pieces, headers=headers, trust_env=False, timeout=60)
    assert answer.request.headers["Transfer-Encoding"] == "chunked"
    assert answer.status_code == status, answer.text
    assert shop.kept()[f"pieces-{size}"] == (status == 202)


def test_an_event_whose_pieces_are_none_is_told_as_a_bad_request(shop: Shop):
    lines = [f"POST /in/{shop.source} HTTP/1.1", "Host: 127.0.0.1", "Transfer-Encoding: chunked", "", "no number", ""]
    with socket.create_connection(("127.0.0.1", shop.port), timeout=60) as sender:
        sender.sendall("\r\n".join(lines).encode())
        assert sender.recv(64).startswith(b"HTTP/1.1 400 ")


def test_while_the_database_is_away_it_is_to_come_again(shop: Shop):
    server = shop.cluster.processes["postgres"]
    server.send_signal(signal.SIGINT)
    server.wait(60)
    refused = shop.send("away")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5"), refused.text
    assert "The database does not answer" in refused.json()["detail"]
    shop.cluster.start_postgres()
    assert shop.send("away").status_code == 202
    assert shop.kept()["away"] == 1


@pytest.mark.skipif(not IS_ROOT, reason="mounting a tmpfs needs root: run `make test-all` as root")
def test_a_full_disk_is_told_and_nothing_that_was_acknowledged_is_lost(shop: Shop, folder: Path):
    ballast = folder / "ballast"
    with open(ballast, "wb") as file:
        space = os.statvfs(folder)
        file.write(bytes(max(0, space.f_bavail * space.f_frsize - (8 << 20))))
    answers: dict[str, httpx.Response] = {}
    while len(answers) < 60 and all(each.status_code == 202 for each in answers.values()):
        name = f"full-{len(answers)}"
        answers[name] = shop.send(name, 1 << 20)
    *_, refused = answers.values()
    assert (refused.status_code, refused.json()["detail"].partition(" does")[0]) == (503, "The database"), refused.text
    ballast.unlink()

    def taken_again() -> bool:
        # Where not even its log has room PostgreSQL ends, soon or later; whoever runs it starts it again.
        if shop.cluster.processes["postgres"].poll() is not None:
            shop.cluster.start_postgres()
        return shop.send("room").status_code in (200, 202)

    until(taken_again)
    assert {shop.send(name, 100).status_code for name in answers} <= {200, 202}
    assert {name: count for name, count in shop.kept().items() if name in answers} == dict.fromkeys(answers, 1)
