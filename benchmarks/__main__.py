"""`make bench`: every row Manifold claims, beside its limit, in one run; the table goes to benchmarks/results.md."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks import data, loads, orchestration, report
from benchmarks.installation import Installation, database, installation, open_folder
from tests.mariadb import installed, mariadb

IDLE_SECONDS = 20


def main() -> None:
    """Measure in a temporary folder; nothing of an existing installation is touched."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each row")
    parser.add_argument("--rows", type=int, default=data.ROWS, help="rows of the large tables")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="manifold-bench-", dir=open_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        rows = _rows(folder, asked.rounds, asked.rows)
    print(report.write(rows))


def _rows(folder: Path, rounds: int, size: int) -> list[report.Row]:
    file = data.csv_file(folder / "files", size)
    environment = {
        **os.environ,
        "MANIFOLD_FILE_ROOTS": str(folder),
        "MANIFOLD_LOG_LEVEL": "warning",
        "MANIFOLD_NET_ALLOW": "127.0.0.1/32",
    }
    starts = [_start_up(folder / f"empty-{number}", environment) for number in range(rounds - 1)]
    with database(folder / "reference") as url, installation(folder / "home", environment) as platform:
        rows = [report.Row("empty home → sign-in page", [*starts, platform.ready_after], 10.0)]
        rows.append(_idle(platform))
        rows.append(loads.demo_row(platform.client, url, folder / "flights", rounds))
        rows.append(loads.csv_row(platform.client, file, rounds))
        objects = data.ndjson_file(folder / "objects", file)
        rows.append(loads.ndjson_row(platform.client, objects, rounds))
        rows.append(loads.rest_row(platform.client, objects, rounds))
        data.postgres_table(url, file)
        rows.append(loads.postgres_row(platform.client, url, folder, rounds))
        rows.append(loads.sqlite_row(platform.client, data.sqlite_file(folder / "sqlite", file), rounds))
        rows += _mariadb(platform, folder, file, rounds)
    return [*rows, *orchestration.rows(folder / "orchestration", rounds)]


def _mariadb(platform: Installation, folder: Path, file: Path, rounds: int) -> list[report.Row]:
    """Only where Debian's server is installed: no package index has one."""
    if not installed():
        print("No MariaDB is installed here, so its row is left out.")
        return []
    with mariadb(folder / "mariadb") as server:
        data.mysql_table(server.port, file)
        return [loads.mysql_row(platform.client, server.port, folder, rounds)]


def _start_up(home: Path, environment: dict[str, str]) -> float:
    with installation(home, environment) as platform:
        return platform.ready_after


def _idle(platform: Installation) -> report.Row:
    time.sleep(IDLE_SECONDS)
    return report.Row("idle memory of the whole platform (PSS)", [platform.memory_mb()], 600, unit="MB")


if __name__ == "__main__":
    main()
