"""Drives the runs that `orchestration.py` measures; imported with Django ready, prints what it measured as JSON."""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.pipelines import services
from apps.pipelines.models import Pipeline, Run, StepRun
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
    for warm in (long, wide):
        run(warm)
    bare_run(100, chained=False)
    first, second = report.in_turn(rounds, lambda: run(long), lambda: bare_run(chained, chained=True))
    third, fourth = report.in_turn(rounds, lambda: run(wide), lambda: bare_run(parallel, chained=False))
    waited = starts(single, 100)
    return {
        "chained": first,
        "bare_chained": second,
        "parallel": third,
        "bare_parallel": fourth,
        "start_p50": waited[49],
        "start_p99": waited[98],
    }


def publish(project: Project, slug: str, steps: dict[str, Any]) -> Pipeline:
    text = json.dumps({"manifold": 1, "pipeline": slug, "steps": steps})
    return services.apply_document(project, text, actor=SYSTEM, publish=True)


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


def starts(pipeline: Pipeline, count: int) -> list[float]:
    """Milliseconds between a step's becoming ready and its claim on an idle platform, in ascending order."""
    for _ in range(count):
        run(pipeline)
        time.sleep(0.02)
    steps = StepRun.objects.filter(run__pipeline=pipeline, key="s").values_list("queued_at", "started_at")
    return sorted((started - queued).total_seconds() * 1000 for queued, started in steps if queued and started)
