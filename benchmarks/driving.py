"""Drives the runs that `orchestration.py` measures; imported with Django ready, prints what it measured as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import duckdb
from django.conf import settings

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.pipelines import services
from apps.pipelines.models import Pipeline, Run, StepRun
from apps.sources import services as sources
from benchmarks import bare, report
from tests import kinds


def main() -> None:
    chained, parallel, rounds = (int(each) for each in sys.argv[1:])
    kinds.register()
    bare.prepare()
    print(json.dumps(measure(chained, parallel, rounds)))


def measure(chained: int, parallel: int, rounds: int) -> dict[str, Any]:
    project = Project.objects.create(slug=f"bench-{uuid.uuid4().hex[:8]}", name="Benchmark")
    chain = {f"s{n}": {"noop": {"inputs": [f"s{n - 1}"] if n else []}} for n in range(chained)}
    long = publish(project, "chained", chain)
    wide = publish(project, "parallel", {f"s{n}": {"noop": {}} for n in range(parallel)})
    single = publish(project, "single", {"s": {"noop": {}}})
    queries = publish(project, "queries", sql_chain(project, chained))
    for warm in (long, wide, queries):
        run(warm)
    bare_run(100, chained=False)
    first, second = report.in_turn(rounds, lambda: run(long), lambda: bare_run(chained, chained=True))
    third, fourth = report.in_turn(rounds, lambda: run(wide), lambda: bare_run(parallel, chained=False))
    fifth, sixth = report.in_turn(rounds, lambda: run(queries), lambda: queries_by_hand(chained))
    waited, next_waited = starts(single, 100)
    return {
        "chained": first,
        "bare_chained": second,
        "parallel": third,
        "bare_parallel": fourth,
        "queries": fifth,
        "queries_by_hand": sixth,
        "start_p50": waited[49],
        "start_p99": waited[98],
        "next_p50": next_waited[49],
        "next_p99": next_waited[98],
    }


def publish(project: Project, slug: str, steps: dict[str, Any]) -> Pipeline:
    text = json.dumps({"manifold": 1, "pipeline": slug, "steps": steps})
    return services.apply_document(project, text, actor=SYSTEM, publish=True)


def sql_chain(project: Project, count: int) -> dict[str, Any]:
    """Steps that read one row from a file and add one to it, `count` times."""
    folder = settings.FILE_ROOTS[0]
    (folder / "one.csv").write_text("n\n0\n")
    source = sources.create_source(
        project, slug="one", title="One row", connector="local_files", params={"path": str(folder)}, actor=SYSTEM
    )
    sources.discover_streams(source, actor=SYSTEM)
    steps: dict[str, Any] = {"s0": {"extract": {"source": "one", "stream": "one"}}}
    for number in range(1, count + 1):
        steps[f"s{number}"] = {"sql": {"inputs": {"p": f"s{number - 1}"}, "query": "SELECT n + 1 AS n FROM p"}}
    return steps


def queries_by_hand(count: int) -> float:
    """The same with nothing but DuckDB: for each query open, copy, flush, close."""
    folder = Path(settings.FILE_ROOTS[0])
    began = time.perf_counter()
    before = f"read_csv('{folder}/one.csv')"
    for number in range(count + 1):
        target = folder / f"{number}.parquet"
        with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
            connection.execute(f"COPY (SELECT n + 1 AS n FROM {before}) TO '{target}' (FORMAT parquet)").fetchall()
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        before = f"'{target}'"
    return time.perf_counter() - began


def run(pipeline: Pipeline) -> float:
    """Seconds from asking for a run to its end."""
    began = time.perf_counter()
    started = services.start_run(pipeline, actor=SYSTEM)
    while not Run.objects.filter(pk=started.pk, finished_at__isnull=False).exists():
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    state = Run.objects.values_list("state", flat=True).get(pk=started.pk)
    if state != "succeeded":
        raise RuntimeError(f"the run {started.pk} ended as {state}")
    return seconds


def bare_run(count: int, *, chained: bool) -> float:
    """The same number of tasks of bare Celery."""
    bare.reset(count)
    began = time.perf_counter()
    for number in range(1, 2 if chained else count + 1):
        bare.work.delay(number, count if chained else 0)
    while bare.done() < count:
        time.sleep(0.005)
    return time.perf_counter() - began


def starts(pipeline: Pipeline, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds between a step's becoming ready and its claim on an idle platform, in ascending order.

    Of the first step of each run, which needs a message, and of the one behind it.
    """
    for _ in range(count):
        run(pipeline)
        time.sleep(0.02)
    return _waited(pipeline, "plan"), _waited(pipeline, "s")


def _waited(pipeline: Pipeline, key: str) -> list[float]:
    steps = StepRun.objects.filter(run__pipeline=pipeline, key=key).values_list("queued_at", "started_at")
    return sorted((started - queued).total_seconds() * 1000 for queued, started in steps if queued and started)
