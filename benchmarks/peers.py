"""`make bench-peers`: dlt beside Manifold, in turn in one run; the table goes to benchmarks/peers.md."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks import data, loads, report
from benchmarks.installation import database, installation, open_folder
from tests.mariadb import installed, mariadb

_PROGRAM = Path(__file__).with_name("dlt_peer.py")
# How many times as fast Manifold is asked to be.
AT_LEAST = {"CSV": 2.0, "NDJSON": 30.0, "REST": 1.5, "PostgreSQL": 2.5, "SQLite": 2.0, "MariaDB": 2.0}


def main() -> None:
    """Measure in a temporary folder; nothing of an existing installation is touched."""
    parser = argparse.ArgumentParser(prog="make bench-peers")
    parser.add_argument("--python", type=Path, required=True, help="the Python of an environment with dlt")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each row; of NDJSON one takes minutes")
    parser.add_argument("--rows", type=int, default=data.ROWS, help="rows of the large tables, at least 100,000")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="manifold-peers-", dir=open_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)
        rows = _rows(folder, asked.python.absolute(), asked.rounds, asked.rows)
    text = _text(rows, asked.rows)
    (report.FOLDER / "peers.md").write_text(text, encoding="utf-8")
    print(text)


def _rows(folder: Path, python: Path, rounds: int, size: int) -> list[report.Row]:
    def dlt(kind: str, place: str, _: Path) -> float:
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
        data.postgres_table(url, file)
        rows = [
            loads.csv_row(platform.client, file, rounds, dlt),
            loads.ndjson_row(platform.client, objects, rounds, dlt),
            loads.rest_row(platform.client, objects, rounds, dlt),
            loads.postgres_row(platform.client, url, folder, rounds, dlt),
            loads.sqlite_row(platform.client, data.sqlite_file(folder / "sqlite", file), rounds, dlt),
        ]
        if installed():
            with mariadb(folder / "mariadb") as server:
                data.mysql_table(server.port, file)
                rows.append(loads.mysql_row(platform.client, server.port, folder, rounds, dlt))
        return rows


def _text(rows: list[report.Row], size: int) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in report.machine().items())
    lines = ["| work | Manifold | dlt | times as fast | at least | met |", "|---|---|---|---|---|---|"]
    for each in rows:
        name = each.work.partition(",")[0]
        peer, least = statistics.median(each.limit), AT_LEAST[name]
        met = "yes" if peer / each.figure >= least else "**no**"
        lines.append(f"| {name} | {each.figure:.2f} s | {peer:.2f} s | {peer / each.figure:.1f} | {least:g} | {met} |")
    rest = loads.paged
    about = (
        f"{size:,} rows of ten columns; of the API {rest.PAGES} pages of {rest.RECORDS:,}, each after "
        f"{rest.PAUSE * 1000:.0f} ms. Medians, taken in turn in one run: whole runs of Manifold with plan, checks of "
        "types, hashes and the snapshot's commit; of dlt the pipeline into Parquet files, without its imports."
    )
    return f"# Beside others\n\n{facts}.\n\n{about}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
