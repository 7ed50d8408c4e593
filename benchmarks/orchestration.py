"""What a run costs beside its work: chained and parallel steps that do nothing, beside bare Celery in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from tests.cluster import ROOT, Cluster

CHAINED, PARALLEL, SLOTS = 40, 500, 2
# The driver needs Django with the cluster's addresses, so it is a process of its own.
_DRIVE = "import django; django.setup(); from benchmarks import driving; driving.main()"


def rows(folder: Path, rounds: int) -> list[report.Row]:
    """Measure in services of their own: two slots for Manifold's worker, two for a bare Celery worker."""
    files = folder.with_name("one")
    files.mkdir()
    settings = {
        "MANIFOLD_WORKERS": str(SLOTS),
        "MANIFOLD_WORKER_MAX_MEMORY": "4GB",
        "MANIFOLD_FILE_ROOTS": str(files),
    }
    with Cluster(folder, settings) as cluster:
        cluster.environment["DJANGO_SETTINGS_MODULE"] = "manifold.settings"
        _python(cluster, "-m", "manage", "migrate", "-v", "0")
        cluster.start_worker("work", "critical,default,bulk", SLOTS)
        cluster.wait_for_worker("work")
        bare = _start_bare(cluster)
        try:
            measured = json.loads(_python(cluster, "-c", _DRIVE, str(CHAINED), str(PARALLEL), str(rounds)))
        finally:
            bare.kill()
            bare.wait(10)
    return [
        _row(f"{CHAINED} chained no-op steps", measured["chained"], measured["bare_chained"]),
        _row(f"{PARALLEL} parallel no-op steps", measured["parallel"], measured["bare_parallel"]),
        report.Row(
            f"{CHAINED} chained one-row sql steps",
            measured["queries"],
            1.5,
            limit=measured["queries_by_hand"],
            limit_name="DuckDB open, COPY, flush by hand",
        ),
        report.Row("idle: run started → first step starts, p50", [measured["start_p50"]], 5, unit="ms"),
        report.Row("idle: run started → first step starts, p99", [measured["start_p99"]], 20, unit="ms"),
        report.Row("idle: step ready → next step starts, p50", [measured["next_p50"]], 5, unit="ms"),
        report.Row("idle: step ready → next step starts, p99", [measured["next_p99"]], 20, unit="ms"),
    ]


def _row(work: str, ours: list[float], bare: list[float]) -> report.Row:
    return report.Row(work, ours, 2.0, limit=bare, limit_name="bare Celery")


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
