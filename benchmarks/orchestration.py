"""What a run costs beside its work: chained and parallel steps that do nothing, beside bare Celery in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import django

from benchmarks import report
from tests.cluster import ROOT, Cluster

CHAINED, PARALLEL, SLOTS = 40, 500, 2


def rows(folder: Path, rounds: int) -> list[report.Row]:
    """Measure in services of their own: two slots for Manifold's worker, two for a bare Celery worker."""
    settings = {"MANIFOLD_WORKERS": str(SLOTS), "MANIFOLD_WORKER_MAX_MEMORY": "4GB"}
    with Cluster(folder, settings) as cluster:
        _python(cluster, "-m", "manage", "migrate", "--run-syncdb", "-v", "0")
        cluster.start_worker("work", "critical,default,bulk", SLOTS)
        cluster.wait_for_worker("work")
        bare = _start_bare(cluster)
        try:
            measured = json.loads(_python(cluster, "-m", "benchmarks.orchestration", str(rounds)))
        finally:
            bare.kill()
            bare.wait(10)
    limit = "bare Celery"
    return [
        report.Row(
            f"{CHAINED} chained no-op steps", measured["chained"], 2.0, limit=measured["bare_chained"], limit_name=limit
        ),
        report.Row(
            f"{PARALLEL} parallel no-op steps",
            measured["parallel"],
            2.0,
            limit=measured["bare_parallel"],
            limit_name=limit,
        ),
        report.Row("idle: run asked for → plan starts, p50", [measured["start_p50"]], 5, unit="ms"),
        report.Row("idle: run asked for → plan starts, p99", [measured["start_p99"]], 20, unit="ms"),
    ]


def _python(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=cluster.environment, stdout=subprocess.PIPE, check=True, text=True
    )
    return done.stdout


def _start_bare(cluster: Cluster) -> subprocess.Popen[bytes]:
    command = ["-m", "celery", "-A", "benchmarks.bare", "worker", "-c", str(SLOTS), "-Q", "bare", "-n", "bare@%h"]
    with open(cluster.folder / "bare.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, *command, "-O", "fair", "--without-gossip", "--without-mingle"],
            cwd=ROOT,
            env=cluster.environment,
            stdout=log,
            stderr=log,
        )


class Driver:
    """Runs in a process of its own, with the cluster's addresses in its environment, and prints what it measured."""

    def __init__(self) -> None:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")
        django.setup()
        # All of these need the settings.
        from apps.accounts.models import Project
        from apps.audit.context import SYSTEM
        from apps.pipelines import services
        from apps.pipelines.models import Run, StepRun
        from benchmarks import bare
        from tests import kinds

        kinds.register()
        self.actor, self.services, self.runs, self.steps, self.bare = SYSTEM, services, Run, StepRun, bare
        self.project = Project.objects.create(slug=f"bench-{uuid.uuid4().hex[:8]}", name="Benchmark")
        bare.prepare()

    def pipeline(self, slug: str, steps: dict[str, Any]) -> Any:
        text = json.dumps({"manifold": 1, "pipeline": slug, "steps": steps})
        return self.services.apply_document(self.project, text, actor=self.actor, publish=True)

    def run(self, pipeline: Any) -> float:
        """Seconds from asking for a run to its end."""
        began = time.perf_counter()
        run = self.services.start_run(pipeline, actor=self.actor)
        while not self.runs.objects.filter(pk=run.pk, finished_at__isnull=False).exists():
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        state = self.runs.objects.values_list("state", flat=True).get(pk=run.pk)
        if state != "succeeded":
            raise RuntimeError(f"the run {run.pk} ended as {state}")
        return seconds

    def bare_run(self, count: int, chained: bool) -> float:
        self.bare.reset(count)
        began = time.perf_counter()
        for number in range(1, 2 if chained else count + 1):
            self.bare.work.delay(number, count if chained else 0)
        while self.bare.done() < count:
            time.sleep(0.005)
        return time.perf_counter() - began

    def starts(self, pipeline: Any, count: int) -> list[float]:
        """Milliseconds from asking for a run to the claim of its first step, on an idle platform."""
        found = []
        for _ in range(count):
            asked = time.time()
            self.run(pipeline)
            first = self.steps.objects.filter(run__pipeline=pipeline, key="plan").order_by("-id")
            started = first.values_list("started_at", flat=True)[0]
            found.append((started.timestamp() - asked) * 1000)
            time.sleep(0.02)
        return sorted(found)


def drive(rounds: int) -> dict[str, Any]:
    driver = Driver()
    chain = {f"s{n}": {"noop": {"inputs": [f"s{n - 1}"] if n else []}} for n in range(CHAINED)}
    chained = driver.pipeline("chained", chain)
    parallel = driver.pipeline("parallel", {f"s{n}": {"noop": {}} for n in range(PARALLEL)})
    single = driver.pipeline("single", {"s": {"noop": {}}})
    for warm in (chained, parallel):
        driver.run(warm)
    driver.bare_run(100, False)
    first, second = report.in_turn(rounds, lambda: driver.run(chained), lambda: driver.bare_run(CHAINED, True))
    third, fourth = report.in_turn(rounds, lambda: driver.run(parallel), lambda: driver.bare_run(PARALLEL, False))
    starts = driver.starts(single, 100)
    return {
        "chained": first,
        "bare_chained": second,
        "parallel": third,
        "bare_parallel": fourth,
        "start_p50": starts[49],
        "start_p99": starts[98],
    }


if __name__ == "__main__":
    print(json.dumps(drive(int(sys.argv[1]))))
