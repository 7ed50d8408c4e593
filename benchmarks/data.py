"""Five million rows of ten columns, as a CSV file and as tables of databases, made once a benchmark."""

from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg
import pymysql

from dataplane.engine import extension_path

ROWS = 5_000_000
COLUMNS = {
    "id": "BIGINT",
    "customer": "UUID",
    "ordered_at": "TIMESTAMP",
    "shipped_on": "DATE",
    "amount": "DECIMAL(12,2)",
    "weight": "DOUBLE",
    "quantity": "INTEGER",
    "express": "BOOLEAN",
    "country": "VARCHAR",
    "remark": "VARCHAR",
}
_MADE = """
    SELECT i AS id,
           CAST(md5(CAST(i % 400000 AS VARCHAR)) AS UUID) AS customer,
           TIMESTAMP '2020-01-01' + to_seconds(CAST(i * 31 AS BIGINT)) AS ordered_at,
           DATE '2020-01-02' + CAST(i * 31 // 86400 AS INTEGER) AS shipped_on,
           CAST((hash(i) % 10000000) / 100 AS DECIMAL(12,2)) AS amount,
           (hash(i + 1) % 1000000) / 1000.0 AS weight,
           CAST(hash(i + 2) % 100 AS INTEGER) AS quantity,
           hash(i + 3) % 5 = 0 AS express,
           ['DE', 'FR', 'PL', 'IT', 'US', 'JP', 'BR', 'NG'][1 + CAST(hash(i + 4) % 8 AS INTEGER)] AS country,
           concat('please leave it with neighbour ', hash(i + 5) % 100000, ' at the ', i % 977, '. door') AS remark
    FROM range({rows}) t(i)
"""


def csv_file(folder: Path, rows: int = ROWS) -> Path:
    """About 160 bytes a row."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "orders.csv"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({_MADE.format(rows=rows)}) TO '{target}' (HEADER)")
    return target


def ndjson_file(folder: Path, source: Path) -> Path:
    """The same as an object a line, about 270 bytes each."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "orders.ndjson"
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
    with duckdb.connect() as connection:
        read = f"read_csv('{source}', columns = {{{columns}}}, header = true)"
        connection.execute(f"COPY (FROM {read}) TO '{target}' (FORMAT json)")
    return target


def postgres_table(url: str, source: Path) -> None:
    """Table `orders`, filled from the CSV file, analysed."""
    postgres = {"DOUBLE": "double precision", "VARCHAR": "text", "DECIMAL(12,2)": "numeric(12,2)"}
    columns = ", ".join(f"{name} {postgres.get(kind, kind.lower())}" for name, kind in COLUMNS.items())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE orders ({columns})")
        with (
            source.open("rb") as file,
            connection.cursor().copy("COPY orders FROM STDIN (FORMAT csv, HEADER)") as target,
        ):
            while chunk := file.read(1 << 20):
                target.write(chunk)
        connection.execute("VACUUM ANALYZE orders")


def sqlite_file(folder: Path, source: Path) -> Path:
    """The same as table `orders` of an SQLite file, in the types that SQLite has itself."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "orders.db"
    kept = {"BIGINT": "BIGINT", "INTEGER": "BIGINT", "BOOLEAN": "BIGINT", "DOUBLE": "DOUBLE", "DECIMAL(12,2)": "DOUBLE"}
    items = ", ".join(f"CAST({name} AS {kept.get(kind, 'VARCHAR')}) AS {name}" for name, kind in COLUMNS.items())
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension_path('sqlite_scanner')}'")
        connection.execute(f"ATTACH '{target}' AS target (TYPE sqlite)")
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
        read = f"read_csv('{source}', columns = {{{columns}}}, header = true)"
        connection.execute(f"CREATE TABLE target.orders AS SELECT {items} FROM {read}")
    return target


def mysql_table(port: int, source: Path) -> None:
    """Table `orders` in a database `bench` of the server on this port, filled from the CSV file, analysed."""
    mysql = {"UUID": "char(36)", "TIMESTAMP": "datetime", "VARCHAR": "text", "BOOLEAN": "varchar(5)"}
    columns = ", ".join(f"{name} {mysql.get(kind, kind.lower())}" for name, kind in COLUMNS.items())
    connection = pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True, local_infile=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        cursor.execute(f"CREATE TABLE bench.orders ({columns})")
        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{source}' INTO TABLE bench.orders CHARACTER SET utf8mb4 "
            "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES"
        )
        cursor.execute("ANALYZE TABLE bench.orders")
