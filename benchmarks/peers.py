"""`make bench-peers`: dlt and the limit beside Manifold, in turn in one run; the table goes to benchmarks/peers.md."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import data, limits, loads, paged, report
from benchmarks.installation import database, installation, open_folder
from tests.mariadb import installed, mariadb

FILE = report.FOLDER / "peers.md"
LEAST_ROWS = paged.PAGES * paged.RECORDS
_PROGRAM = Path(__file__).with_name("dlt_peer.py")
# How many times as fast Manifold is asked to be.
AT_LEAST = {"CSV": 2.0, "NDJSON": 30.0, "REST": 1.5, "PostgreSQL": 2.5, "SQLite": 2.0, "MariaDB": 2.0}


@dataclass(frozen=True)
class Beside:
    """A work of Manifold, whose `limit` is what dlt needed, and the seconds of what no tool is quicker than."""

    row: report.Row
    bare: list[float]


def main() -> None:
    """Measure in a temporary folder; nothing of an existing installation is touched."""
    asked = options(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="manifold-peers-", dir=open_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        rows = _rows(folder, asked.python.absolute(), asked.works, asked.rounds, asked.rows)
    facts = ", ".join(f"{key} {value}" for key, value in report.machine().items())
    parts = ["# Beside others", f"{facts}.", about(asked.rows), table(rows, FILE.read_text("utf-8"), asked.rows)]
    text = "\n\n".join([*parts, *filter(None, [asked.note])]) + "\n"
    FILE.write_text(text, encoding="utf-8")
    print(text)


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-peers")
    parser.add_argument("--python", type=Path, required=True, help="the Python of an environment with dlt")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each row; of NDJSON one takes minutes")
    parser.add_argument("--rows", type=int, default=data.ROWS, help=f"of the large tables, at least {LEAST_ROWS:,}")
    parser.add_argument(
        "--works", nargs="+", choices=AT_LEAST, default=list(AT_LEAST), help="others stay as they stand"
    )
    parser.add_argument("--note", default="", help="what readers should know of this measurement; stands below it")
    asked = parser.parse_args(arguments)
    if asked.rows < LEAST_ROWS:
        parser.error(f"--rows {asked.rows}: ask for {LEAST_ROWS:,} or more; so many does the paged API give.")
    return asked


def _rows(folder: Path, python: Path, works: list[str], rounds: int, size: int) -> list[Beside]:
    bare: list[float] = []

    def dlt(kind: str, place: str, beside: Path) -> float:
        bare.append(limits.limit(kind, place, beside))
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            command = [str(python), str(_PROGRAM), kind, place, scratch]
            # It tells nobody that it was run.
            environment = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false", "HOME": scratch}
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            return float(json.loads(answer.stdout.splitlines()[-1])["seconds"])

    file = data.csv_file(folder / "files", size)
    objects = data.ndjson_file(folder / "objects", file)
    settings = {"MANIFOLD_FILE_ROOTS": str(folder), "MANIFOLD_LOG_LEVEL": "warning"}
    environment = {**os.environ, **settings, "MANIFOLD_NET_ALLOW": "127.0.0.1/32"}
    with database(folder / "reference") as url, installation(folder / "home", environment) as platform:
        client = platform.client

        def from_postgres() -> report.Row:
            data.postgres_table(url, file)
            return loads.postgres_row(client, url, folder, rounds, dlt)

        def from_mariadb() -> report.Row:
            with mariadb(folder / "mariadb") as server:
                data.mysql_table(server.port, file)
                return loads.mysql_row(client, server.port, folder, rounds, dlt)

        measured: dict[str, Callable[[], report.Row]] = {
            "CSV": lambda: loads.csv_row(client, file, rounds, dlt),
            "NDJSON": lambda: loads.ndjson_row(client, objects, rounds, dlt),
            "REST": lambda: loads.rest_row(client, objects, rounds, dlt),
            "PostgreSQL": from_postgres,
            "SQLite": lambda: loads.sqlite_row(client, data.sqlite_file(folder / "sqlite", file), rounds, dlt),
            "MariaDB": from_mariadb,
        }
        rows = []
        for each in works:
            if each != "MariaDB" or installed():
                bare.clear()
                rows.append(Beside(measured[each](), list(bare)))
        return rows


def about(size: int) -> str:
    """What was measured, and how."""
    return (
        f"{_size(size)}; of the API {paged.PAGES} pages of {paged.RECORDS:,}, each after {paged.PAUSE * 1000:.0f} ms. "
        "Medians, taken in turn: whole runs of Manifold with plan, checks of types, hashes and the snapshot's commit; "
        "the limit, which does the reads and writes alone; of dlt the pipeline into Parquet files, without its "
        "imports. How many times as fast as dlt: Manifold, and the limit itself, above which nobody gets."
    )


def table(rows: list[Beside], before: str, size: int) -> str:
    """A line for each work: what was measured now, else what stands in the text of `before` for as many rows."""
    known = before.splitlines() if _size(size) in before else []
    lines = {each.split("|")[1].strip(): each for each in known if each.startswith("| ")}
    lines |= {each.row.work.partition(",")[0]: _line(each) for each in rows}
    head = [
        "| work | Manifold | limit | dlt | times as fast | limit | at least | met | rounds | taken |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(lines[name] for name in AT_LEAST if name in lines)])


def _line(beside: Beside) -> str:
    row = beside.row
    name = row.work.partition(",")[0]
    ours, peer, bare = (statistics.median(each) for each in (row.ours, row.limit, beside.bare))
    met = "yes" if peer / ours >= AT_LEAST[name] else "**no**"
    taken = datetime.now(UTC).strftime("%Y-%m-%d")
    seconds = f"{ours:.2f} s | {bare:.2f} s ({row.limit_name}) | {peer:.2f} s"
    times = f"{peer / ours:.1f} | {peer / bare:.1f} | {AT_LEAST[name]:g}"
    return f"| {name} | {seconds} | {times} | {met} | {len(row.ours)} | {taken} |"


def _size(size: int) -> str:
    return f"{size:,} rows of ten columns"


if __name__ == "__main__":
    main()
