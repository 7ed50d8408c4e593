"""docs/types.md, made of the lists that the tests of the connectors read from real databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from dataplane.connectors.warehouses.types import Native
from tests.dataplane.connectors import (
    test_avro,
    test_duckdb_file,
    test_mongodb,
    test_mysql_types,
    test_postgresql_types,
    test_sqlite,
)
from tests.dataplane.connectors.warehouses import test_clickhouse_types, test_dialects, test_redshift

Row = tuple[str, str, str, str]

_HEAD = """\
# Types, from the source to Parquet

Each row below is read by a test: from a real database or file, through the connector, into a Parquet file, and compared
with what was written (of five products there was [no server](#where-no-server-was-at-hand)). A value arrives as it is,
or the read fails and names it; nothing is rounded, cut or turned into NULL on the way. *said* marks what does not
arrive in a type of its own kind: discovery says so at the column. What is behind it, and how a column is declared as
something else, stands in [sources.md](sources.md); so does what becomes of times in files that are finer than their
columns, or the cells of Excel, keep them. `make docs` writes this table.

PostgreSQL was 17, MariaDB 10.11, ClickHouse its engine of 26.5 as a library. Of MySQL no server was at hand, so what
only MySQL has (its own JSON and VECTOR) is untested; Redshift was a PostgreSQL, so SUPER and VARBYTE are, too. MongoDB
was a server of the tests' own that speaks its protocol, over MongoDB's own driver.
"""
_UNMET = """
## Where no server was at hand

Of these products a test shows, without a server, which text a column is asked for, and that this text is read as it
says. That a server writes it so is the word of its documentation.
"""
_PRODUCTS = {
    "sqlserver": "SQL Server",
    "oracle": "Oracle",
    "snowflake": "Snowflake",
    "bigquery": "BigQuery",
    "trino": "Trino",
}


def page() -> str:
    """The whole file."""
    met = (_section(title, rows) for title, rows in _databases())
    unmet = (_section(title, _told(key), level=3) for key, title in _PRODUCTS.items())
    return "".join([_HEAD, *met, _UNMET, *unmet])


def _databases() -> Iterator[tuple[str, Iterable[Row]]]:
    postgresql, mysql = test_postgresql_types, test_mysql_types
    yield "PostgreSQL", [(a, b, c, _said(a in postgresql.WARNED)) for a, b, c, _ in postgresql.TYPES]
    yield "MySQL and MariaDB", [(a, b, c, _said(a in mysql.WARNED)) for a, b, c, _ in mysql.TYPES]
    yield (
        "SQLite, by what is declared and what the cells are",
        [
            (declared or "nothing", ", ".join(repr(each) for each in cells), type_, _said(warned))
            for declared, cells, type_, warned in test_sqlite.TYPES
        ],
    )
    clickhouse, redshift = test_clickhouse_types, test_redshift
    yield "ClickHouse", [(a, b, c, _said(a in clickhouse.WARNED)) for a, b, c, _ in clickhouse.TYPES]
    yield "Amazon Redshift", [(a, b, c, _said(a in redshift.WARNED)) for a, b, c, _ in redshift.TYPES]
    yield "DuckDB", [(a, b, c, _said(warned)) for a, b, c, warned in test_duckdb_file.TYPES]
    mongodb, avro = test_mongodb, test_avro
    yield "MongoDB", [(a, _value(b), c, _said(a in mongodb.WARNED)) for a, b, c, _ in mongodb.TYPES]
    yield "Avro files", [(_avro(b), _value(c), d, _said(a in avro.WARNED)) for a, b, c, d, _ in avro.TYPES]


def _told(product: str) -> Iterable[Row]:
    sql = test_dialects.dialect(product)
    for native, type_, _, answer, _ in test_dialects.TYPES[product]:
        yield native, answer, type_, _said(bool(sql.arrival(Native("c", native)).warning))


def _value(value: Any) -> str:
    return str(value) if isinstance(value, date | time | Decimal | UUID) else repr(value)


def _avro(schema: Any) -> str:
    """A type of Avro in short: what it means before what it is kept as."""
    if isinstance(schema, list):
        return f"union of {', '.join(_avro(each) for each in schema)}"
    if isinstance(schema, str):
        return schema
    numbers = ", ".join(str(schema[each]) for each in ("precision", "scale") if each in schema)
    means = str(schema.get("logicalType", ""))
    return f"{means}{f'({numbers})' if numbers else ''} as {schema['type']}" if means else str(schema["type"])


def _said(warned: bool) -> str:
    return "said" if warned else ""


def _section(title: str, rows: Iterable[Row], level: int = 2) -> str:
    lines = [f"\n{'#' * level} {title}\n", "| type | a value | arrives as | |", "|---|---|---|---|"]
    lines += [f"| {_code(a)} | {_code(b)} | {_code(c)} | {said} |" for a, b, c, said in rows]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """As code within a table: a bar would end the cell, and a long number says no more than its beginning."""
    shown = text if len(text) <= 60 else f"{text[:50]}…"
    shown = shown.replace("\0", "␀").replace("|", "\\|")
    return f"`{shown}`" if "`" not in shown else f"`` {shown} ``"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  it is written to a file
