"""Two beats by mistake, as on two machines: both send every tick, and each moment of a schedule starts one run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
import pytest
import redis

from manifold.client import Client
from tests.cluster import ROOT
from tests.homes import forget
from tests.manifold.test_supervisor import Up, environment, until
from tests.ports import own_port

pytestmark = pytest.mark.all

SECRETS = {
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "MANIFOLD_SECRET_KEY": "secret_key",
    "MANIFOLD_MASTER_KEY": "master_key",
}
TEXT = """
manifold: 1
pipeline: ticking
steps:
  files: {extract: {source: drop, stream: files, mode: incremental}}
  kept: {load: {input: files, dataset: kept}}
schedule: {interval: 60, missed: all, missed_at_most: 1000, if_running: queue}
"""
TICK = "apps.pipelines.tasks.schedules"
MOMENTS = 12


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop" / "files_2026-01-01.csv").write_text("n\n1\n")
    platform = Up(tmp_path)
    platform.start("--port", str(own_port()), MANIFOLD_FILE_ROOTS=str(tmp_path / "drop"))
    yield platform
    platform.stop()
    forget(platform.home)


def senders(broker: redis.Redis) -> set[str]:
    """The processes whose ticks of schedules wait to be taken."""
    waiting = [json.loads(each)["headers"] for each in broker.lrange("system", 0, -1)]
    return {each["origin"] for each in waiting if each["task"] == TICK}


@pytest.fixture
def second(up: Up, tmp_path: Path) -> Iterator[None]:
    """Another beat of the same installation, started as in a container of its own."""
    secrets = {name: (up.home / "secrets" / file).read_text().strip() for name, file in SECRETS.items()}
    log = tmp_path / "second.log"
    with open(log, "wb") as said:
        beat = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "manifold", "beat", "--pidfile="],
            env=environment(**secrets, MANIFOLD_HOME=str(up.home)),
            cwd=ROOT,
            stdout=said,
            stderr=said,
        )
    yield
    beat.kill()
    beat.wait(60)


def test_each_moment_starts_one_run(up: Up, second: None, tmp_path: Path) -> None:
    client = Client(up.platform["url"], up.platform["token"])
    source = {"slug": "drop", "connector": "local_files", "params": {"path": str(tmp_path / "drop")}}
    client.in_project("POST", "sources/", json=source)
    client.in_project("POST", "sources/drop/discover/")
    client.in_project("POST", "pipelines/apply/", json={"text": TEXT, "publish": True})
    client.in_project("POST", "pipelines/ticking/schedule/enable/")
    broker = redis.Redis.from_url((up.home / "secrets" / "redis_url").read_text().strip())
    with psycopg.connect((up.home / "secrets" / "database_url").read_text().strip(), autocommit=True) as database:

        def value(query: LiteralString) -> int:
            row = database.execute(query).fetchone()
            assert row is not None
            return int(row[0])

        for behind in (MOMENTS, 2 * MOMENTS, 3 * MOMENTS):
            # While nobody takes them, messages of both pile up; then they are taken at once.
            system = psutil.Process(up.platform["processes"]["system"]["pid"])
            system.suspend()
            database.execute(
                "UPDATE pipelines_schedule SET decided_until = now() - %s * interval '1 minute', "
                "next_at = now() - interval '1 second'",
                [behind],
            )
            until(lambda: len(senders(broker)) == 2)
            system.resume()
            until(lambda: value("SELECT count(*) FROM pipelines_schedule WHERE next_at > now()") == 1)
        fires = value("SELECT count(*) FROM pipelines_fire")
        assert fires >= 3 * MOMENTS
        assert value("SELECT count(DISTINCT scheduled_for) FROM pipelines_fire") == fires
        assert value("SELECT count(DISTINCT run_id) FROM pipelines_fire") == fires
        assert value("SELECT count(*) FROM pipelines_run WHERE trigger = 'schedule'") == fires
        until(lambda: value("SELECT count(*) FROM pipelines_run WHERE state IN ('pending', 'running')") == 0, 300)
        assert value("SELECT count(*) FROM pipelines_run WHERE state NOT IN ('succeeded', 'skipped')") == 0
