"""The limits: plain DuckDB doing the same reads and writes, each in a fresh process, timed inside it.

python -m benchmarks.limits KIND PLACE FOLDER; kinds are csv, ndjson, sqlite (of a file), postgres, demo, rest (a URL),
mysql (a port)
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

from benchmarks import paged
from benchmarks.data import COLUMNS
from dataplane.engine import extension_path


def csv(file: str, target: str) -> str:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    read = f"read_csv('{file}', columns = {{{columns}}}, header = true, store_rejects = true)"
    return f"COPY (FROM {read}) TO '{target}' (FORMAT parquet)"


def ndjson(file: str, target: str) -> str:
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    read = f"read_json('{file}', columns = {{{columns}}}, format = 'newline_delimited')"
    return f"COPY (FROM {read}) TO '{target}' (FORMAT parquet)"


def postgres(url: str, target: str) -> str:
    return f"COPY (FROM postgres_scan('{url}', 'public', 'orders')) TO '{target}' (FORMAT parquet)"


def sqlite(file: str, target: str) -> str:
    return f"COPY (FROM sqlite_scan('{file}', 'orders')) TO '{target}' (FORMAT parquet)"


def mysql(port: str, target: str) -> str:
    place = f"host=127.0.0.1 port={port} user=root database=bench compress=0"
    attach = f"ATTACH '{place}' AS source (TYPE mysql, READ_ONLY)"
    return f"{attach}; COPY (FROM source.bench.orders) TO '{target}' (FORMAT parquet)"


ONE_COPY = {"csv": csv, "ndjson": ndjson, "postgres": postgres, "sqlite": sqlite, "mysql": mysql}
EXTENSIONS = {
    "postgres": "postgres_scanner",
    "demo": "postgres_scanner",
    "sqlite": "sqlite_scanner",
    "mysql": "mysql_scanner",
}


def demo(url: str, folder: Path) -> list[str]:
    """The flights pipeline by hand: the same files and tables, the same rules, join, aggregate and Parquet files."""
    files = str(folder / "flights_2013-*.csv")
    made = [f"COPY (FROM read_csv('{files}', nullstr = ['NA', ''])) TO '{folder}/f.parquet'"]
    for table in ("airlines", "airports", "planes", "weather"):
        made.append(f"COPY (FROM postgres_scan('{url}', 'public', '{table}')) TO '{folder}/{table}.parquet'")
    known = (
        "FROM '{folder}/f.parquet' f WHERE {column} IS NOT NULL "
        "AND {column} NOT IN (SELECT {key} FROM '{folder}/{table}.parquet')"
    )
    keys = (("carrier", "carrier", "airlines"), ("tailnum", "tailnum", "planes"), ("dest", "faa", "airports"))
    rules = [
        "time_hour IS NULL OR carrier IS NULL OR flight IS NULL OR origin IS NULL OR dest IS NULL",
        "month NOT BETWEEN 1 AND 12",
        "origin NOT IN ('EWR', 'JFK', 'LGA')",
        "NOT regexp_matches(dest, '^[A-Z]{3}$')",
        "dep_time IS NULL",
        "dep_time IS NOT NULL AND arr_time IS NULL",
    ]
    made += [f"SELECT count(*) FROM '{folder}/f.parquet' WHERE {rule}" for rule in rules]
    made += [f"SELECT count(*) {known.format(folder=folder, column=c, key=k, table=t)}" for c, k, t in keys]
    made.append(f"SELECT count(*) - count(DISTINCT (time_hour, carrier, flight)) FROM '{folder}/f.parquet'")
    sound = f"SELECT * FROM '{folder}/f.parquet' WHERE dest IN (SELECT faa FROM '{folder}/airports.parquet')"
    made.append(f"COPY ({sound}) TO '{folder}/sound.parquet'")
    joined = f"""
        SELECT f.*, a.name AS airline, t.name AS destination, p.manufacturer, p.year AS built,
               w.temp, w.wind_speed, w.visib
        FROM '{folder}/sound.parquet' f LEFT JOIN '{folder}/airlines.parquet' a USING (carrier)
        LEFT JOIN '{folder}/airports.parquet' t ON t.faa = f.dest
        LEFT JOIN '{folder}/planes.parquet' p ON p.tailnum = f.tailnum
        LEFT JOIN '{folder}/weather.parquet' w ON w.origin = f.origin AND w.time_hour = f.time_hour"""
    made.append(f"COPY ({joined}) TO '{folder}/named.parquet'")
    counted = f"SELECT airline, month, count(*), avg(arr_delay) FROM '{folder}/named.parquet' GROUP BY ALL"
    return [*made, f"COPY ({counted}) TO '{folder}/months.parquet'"]


def measure(kind: str, place: str, folder: str) -> dict[str, float]:
    """Open, copy, flush; of an API only fetch: seconds, and the peak of the process in MB."""
    if kind == "rest":
        return {"seconds": paged.fetch(place), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    target = Path(folder) / f"limit-{time.monotonic_ns()}.parquet"
    began = time.perf_counter()
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
        if kind in EXTENSIONS:
            connection.execute(f"LOAD '{extension_path(EXTENSIONS[kind])}'")
        statements = demo(place, Path(folder)) if kind == "demo" else [ONE_COPY[kind](place, str(target))]
        for statement in statements:
            connection.execute(statement).fetchall()
    for written in Path(folder).glob("*.parquet"):
        descriptor = os.open(written, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    seconds = time.perf_counter() - began
    target.unlink(missing_ok=True)
    return {"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def limit(kind: str, place: str, folder: Path) -> float:
    """Seconds of one measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.limits", kind, place, str(folder)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(answer.stdout)["seconds"])


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
