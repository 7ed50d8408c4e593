"""The limits: plain DuckDB doing the same reads and writes, each in a fresh process, timed inside it.

python -m benchmarks.limits csv FILE FOLDER | postgres URL FOLDER
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from benchmarks.data import COLUMNS
from dataplane.engine import extension_path


def csv(file: str, target: str) -> str:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    read = f"read_csv('{file}', columns = {{{columns}}}, header = true, store_rejects = true)"
    return f"COPY (FROM {read}) TO '{target}' (FORMAT parquet)"


def postgres(url: str, target: str) -> str:
    return f"COPY (FROM postgres_scan('{url}', 'public', 'orders')) TO '{target}' (FORMAT parquet)"


def measure(kind: str, place: str, folder: str) -> dict[str, float]:
    """Open, copy, flush: seconds, and the peak of the process in MB."""
    target = Path(folder) / f"limit-{time.monotonic_ns()}.parquet"
    began = time.perf_counter()
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
        if kind == "postgres":
            connection.execute(f"LOAD '{extension_path('postgres_scanner')}'")
        connection.execute({"csv": csv, "postgres": postgres}[kind](place, str(target)))
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    seconds = time.perf_counter() - began
    target.unlink()
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def limit(kind: str, place: str, folder: Path) -> float:
    """Seconds of one measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.limits", kind, place, str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(answer.stdout)["seconds"])


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
