"""Reaching a server: no address, nobody there, the wrong one, the wrong token; `manifold status`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from manifold.client import Client, Unreachable
from tests.cluster import ROOT
from tests.ports import own_port
from tests.served import Served

pytestmark = pytest.mark.django_db


class _Other(BaseHTTPRequestHandler):
    """A server that is not Manifold."""

    def do_GET(self) -> None:
        sends_on = self.path.startswith("/old")
        self.send_response(301 if sends_on else 200)
        if sends_on:
            self.send_header("Location", "https://elsewhere.example/")
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def other() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Other)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_status_is_what_the_api_answers(served: Served) -> None:
    answer = served.json("status", code=3)
    assert {"healthy", "last_good_run", "last_run", "pending_files", "datasets", "components", "advice"} == set(answer)
    assert answer["healthy"] is False
    result = served.manifold("status")
    assert result.exit_code == 3
    assert result.stdout.startswith("health         error\nlast good run  orders at ")
    assert "→ workers: " in result.stdout


@pytest.mark.parametrize("words", [["status"], ["datasets"], ["snapshots", "export", "orders", "1", "-o", "unwritten"]])
def test_who_does_not_answer(served: Served, other: str, words: list[str]) -> None:
    nobody = f"http://127.0.0.1:{own_port()}"
    for url, said in (
        (nobody, "Nobody answers at"),
        ("http://x:y", "is no address"),
        ("ftp://x", "Nobody answers at"),
        (f"{other}/old", "sends on to https://elsewhere.example/"),
    ):
        result = served.manifold(*words, MANIFOLD_URL=url)
        assert (result.exit_code, said in result.stderr) == (4, True), (url, result.output)
    result = served.manifold("status", MANIFOLD_URL=other)
    assert (result.exit_code, "is not Manifold" in result.stderr) == (4, True)


def test_a_server_that_takes_its_time(served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", "mf_x", timeout=0.2)
        with pytest.raises(Unreachable, match=r"has not answered for 0\.2 seconds.*may still be done"):
            client.in_project("POST", "sources/")


def test_no_server_is_known(served: Served) -> None:
    result = served.manifold("status", MANIFOLD_URL="", MANIFOLD_TOKEN="", MANIFOLD_HOME="/nowhere")
    assert (result.exit_code, "`manifold up`" in result.stderr) == (4, True)


def test_a_platform_that_is_still_starting(served: Served, tmp_path: Path) -> None:
    left = {"url": served.environment("viewer")["MANIFOLD_URL"], "token": ""}
    (tmp_path / "platform.json").write_text(json.dumps(left))
    result = served.manifold("status", MANIFOLD_URL="", MANIFOLD_TOKEN="", MANIFOLD_HOME=str(tmp_path))
    assert (result.exit_code, "still starting" in result.stderr) == (4, True), result.output


@pytest.mark.parametrize("token", ["mf_wrong", "ü", "two words"])
def test_a_wrong_token(served: Served, token: str) -> None:
    result = served.manifold("status", MANIFOLD_TOKEN=token)
    assert (result.exit_code, "oken" in result.stderr) == (4, True), result.output


def test_a_wrong_project(served: Served) -> None:
    for project in ("nowhere", "../me", "elsewhere"):
        result = served.manifold("status", MANIFOLD_PROJECT=project)
        assert (result.exit_code, result.stderr.startswith("manifold: ")) == (2, True)


def test_as_a_program(served: Served) -> None:
    """What the shell gets: the same codes, nothing but JSON on standard output, no trace."""
    environment = os.environ | served.environment("viewer")
    line = [sys.executable, "-m", "manifold"]
    run = partial(subprocess.run, check=False, capture_output=True, text=True)
    good = run([*line, "runs", "list", "--json"], cwd=ROOT, env=environment)
    assert (good.returncode, good.stdout[0], good.stderr) == (0, "{", "")
    environment["MANIFOLD_URL"] = f"http://127.0.0.1:{own_port()}"
    bad = run([*line, "runs", "list"], cwd=ROOT, env=environment)
    assert (bad.returncode, bad.stdout) == (4, "")
    assert bad.stderr.startswith("manifold: Nobody answers at") and bad.stderr.count("\n") == 1
