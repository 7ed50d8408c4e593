"""Whole runs (plan, extract, load, commit) of five million rows, beside plain DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import limits, paged
from benchmarks.report import Row, in_turn
from manifold.client import Client
from manifold.demo import story
from manifold.demo.data import MONTHS, drop_months, fill_reference

# Seconds of whatever is measured beside a run: told the kind of source, its place, and a folder to write into.
Beside = Callable[[str, str, Path], float]

DOCUMENT = """
manifold: 1
pipeline: bench-{name}
steps:
  orders: {{extract: {{source: bench-{name}, stream: {stream}, mode: full_refresh}}}}
  kept: {{load: {{input: orders, dataset: bench-{name}, mode: replace}}}}
"""


def csv_row(client: Client, file: Path, rounds: int, beside: Beside = limits.limit) -> Row:
    _prepare(client, "csv", "local_files", {"path": str(file.parent)}, "orders")
    row = Row("CSV, 5 M rows × 10 → snapshot", [], 1.10, limit_name="plain DuckDB", memory_at_most_mb=350)
    return _measured(client, row, "csv", rounds, lambda: beside("csv", str(file), file.parent))


def ndjson_row(client: Client, file: Path, rounds: int, beside: Beside = limits.limit) -> Row:
    _prepare(client, "ndjson", "local_files", {"path": str(file.parent)}, "orders")
    row = Row("NDJSON, 1.3 GB, 5 M rows × 10 → snapshot", [], 1.10, limit_name="plain DuckDB")
    return _measured(client, row, "ndjson", rounds, lambda: beside("ndjson", str(file), file.parent))


def rest_row(client: Client, file: Path, rounds: int, beside: Beside = limits.limit) -> Row:
    """The first records of an NDJSON file, page by page."""
    with paged.served(file) as url:
        base, _, path = url.rpartition("/")
        stream = f"orders /{path} pagination=page records=data"
        _prepare(client, "rest", "rest", {"base_url": base, "streams": [stream]}, "orders")
        told = f"{paged.PAGES} pages of {paged.RECORDS:,} records, each after {paged.PAUSE * 1000:.0f} ms"
        row = Row("REST, paged → snapshot", [], 1.2, limit_name="fetched one by one, not read", note=told)
        return _measured(client, row, "rest", rounds, lambda: beside("rest", url, file.parent))


def postgres_row(client: Client, url: str, folder: Path, rounds: int, beside: Beside = limits.limit) -> Row:
    place = urlsplit(url)
    params = {
        "host": place.hostname,
        "port": place.port,
        "database": place.path.strip("/"),
        "user": place.username,
        "password": place.password,
    }
    _prepare(client, "postgres", "postgresql", params, "public.orders")
    row = Row("PostgreSQL, 5 M rows × 10 → snapshot", [], 1.10, limit_name="plain scanner", memory_at_most_mb=300)
    return _measured(client, row, "postgres", rounds, lambda: beside("postgres", url, folder))


def sqlite_row(client: Client, file: Path, rounds: int, beside: Beside = limits.limit) -> Row:
    _prepare(client, "sqlite", "sqlite", {"path": str(file)}, "orders")
    row = Row("SQLite, 5 M rows × 10 → snapshot", [], 1.15, limit_name="plain scanner", memory_at_most_mb=350)
    return _measured(client, row, "sqlite", rounds, lambda: beside("sqlite", str(file), file.parent))


def mysql_row(client: Client, port: int, folder: Path, rounds: int, beside: Beside = limits.limit) -> Row:
    params = {"host": "127.0.0.1", "port": port, "database": "bench", "user": "root"}
    _prepare(client, "mysql", "mysql", params, "orders")
    row = Row("MariaDB, 5 M rows × 10 → snapshot", [], 1.15, limit_name="plain scanner", memory_at_most_mb=350)
    return _measured(client, row, "mysql", rounds, lambda: beside("mysql", str(port), folder))


def demo_row(client: Client, url: str, folder: Path, rounds: int) -> Row:
    """The flights example with all its twelve files, four tables, eleven rules, joins, two loads."""
    drop_months(folder, MONTHS)
    fill_reference(url)
    story.prepare(client, folder, url)
    row = Row("demo: flights pipeline, 336,776 rows", [], 2.0, limit_name="plain DuckDB, same reads and writes")
    row.ours, row.limit = in_turn(
        rounds, lambda: _run(client, "flights", "seed")[0], lambda: limits.limit("demo", url, folder)
    )
    return row


def _prepare(client: Client, name: str, connector: str, params: dict[str, Any], stream: str) -> None:
    body = {"slug": f"bench-{name}", "title": name, "connector": connector, "params": params}
    client.in_project("POST", "sources/", json=body)
    client.in_project("POST", f"sources/bench-{name}/discover/")
    text = DOCUMENT.format(name=name, stream=stream)
    client.in_project("POST", "pipelines/apply/", json={"text": text, "publish": True})


def _measured(client: Client, row: Row, name: str, rounds: int, beside: Callable[[], float]) -> Row:
    peaks: list[float] = []

    def ours() -> float:
        seconds, peak = _run(client, f"bench-{name}")
        peaks.append(peak)
        return seconds

    row.ours, row.limit = in_turn(rounds, ours, beside)
    row.memory_mb = max(peaks)
    return row


def _run(client: Client, pipeline: str, mode: str = "auto") -> tuple[float, float]:
    """Seconds from the request to the end of the run, and the highest peak of a step in MB."""
    started = client.in_project("POST", f"pipelines/{pipeline}/runs/", json={"mode": mode})
    # The platform says itself when a run has ended; asking ten times a second took 4 % of both processors from it.
    run = client.wait(started["id"], every=1.0)
    if run["state"] != "succeeded":
        raise RuntimeError(f"the run of {pipeline} {run['state']}: {run['error']}")
    created, finished = (datetime.fromisoformat(run[each]) for each in ("created_at", "finished_at"))
    peak = max(step["peak_memory"] or 0 for step in run["steps"])
    return (finished - created).total_seconds(), peak / 2**20
