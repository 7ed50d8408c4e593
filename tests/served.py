"""A furnished project behind a real server, for tests of the `manifold` command; with a real worker where runs end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from click.testing import CliRunner, Result
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from apps.pipelines.execution import dispatch
from manifold.cli import main
from manifold.client import Client
from tests.cluster import ROOT
from tests.furnished import Furnished, furnished_in

WORKER_SECONDS = 300.0
_send = dispatch.send


@dataclass(frozen=True)
class Served:
    """`manifold(...)` runs the command as one of its people; `client` is the API itself, to compare with."""

    url: str
    made: Furnished

    def environment(self, who: str) -> dict[str, str]:
        return {"MANIFOLD_URL": self.url, "MANIFOLD_TOKEN": self.made.tokens.get(who, "mf_no-such-token")} | {
            "MANIFOLD_PROJECT": self.made.project.slug,
            "MANIFOLD_HOME": str(self.made.folder / "home"),
            "MANIFOLD_FILE_ROOTS": str(self.made.folder / "drop"),
        }

    def manifold(self, *words: str, who: str = "admin", given: str | None = None, **settings: str) -> Result:
        """What the command prints and the code it leaves with. It never ends in an exception."""
        result = CliRunner().invoke(main, list(words), input=given, env={**self.environment(who), **settings})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output and "should not have happened" not in result.output
        return result

    def json(self, *words: str, code: int = 0, **options: Any) -> Any:
        result = self.manifold(*words, "--json", **options)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def client(self, who: str = "admin") -> Client:
        return Client(self.url, self.made.tokens[who], self.made.project.slug)


@pytest.fixture(scope="module")
def served(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
    module_postgres_url: str,
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with furnished_in(folder, module_postgres_url, django_db_blocker) as made, django_db_blocker.unblock():
        server = LiveServer("127.0.0.1:0")
        try:
            yield Served(server.url, made)
        finally:
            server.stop()


@pytest.fixture(scope="module")
def worked(served: Served) -> Iterator[Served]:
    """The same, with a Celery worker that takes the steps of runs."""
    folder = served.made.folder
    parts = urlsplit(os.environ["DATABASE_URL"])
    environment = os.environ | {
        "DATABASE_URL": urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}")),
        "MANIFOLD_STORAGE_URL": f"file://{folder}/storage",
        "MANIFOLD_HOME": str(folder / "home"),
        "MANIFOLD_FILE_ROOTS": str(folder / "drop"),
        "MANIFOLD_LOG_LEVEL": "warning",
    }
    ready = folder / "ready"
    with open(folder / "worker.log", "wb") as log:
        line = [sys.executable, "-m", "tests.worker", "worker", "default,critical,bulk", "1", str(ready)]
        worker = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "send", _send)
        until = time.monotonic() + WORKER_SECONDS
        while not ready.exists():
            assert worker.poll() is None and time.monotonic() < until, (folder / "worker.log").read_text()
            time.sleep(0.05)
        yield served
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(60)
