"""docs/types.md, made of the lists that the tests of the connectors read from real databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.dataplane.connectors import test_duckdb_file, test_mysql_types, test_postgresql_types, test_sqlite
from tests.dataplane.connectors.warehouses import test_clickhouse_types, test_redshift

Row = tuple[str, str, str, str]

_HEAD = """\
# Types, from the database to Parquet

Each row below is read by a test: from a real database, through the connector, into a Parquet file, and compared with
what was written. A value arrives as it is, or the read fails and names it; nothing is rounded, cut or turned into NULL
on the way. *said* marks what does not arrive in a type of its own kind: discovery says so at the column. What is behind
it, and how a column is declared as something else, stands in [sources.md](sources.md). `make docs` writes this table.

PostgreSQL was 17, MariaDB 10.11, ClickHouse its engine of 26.5 as a library. Of MySQL no server was at hand, so what
only MySQL has (its own JSON and VECTOR) is untested; Redshift was a PostgreSQL, so SUPER and VARBYTE are, too.
"""


def page() -> str:
    """The whole file."""
    return "".join([_HEAD, *(_section(title, rows) for title, rows in _databases())])


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


def _said(warned: bool) -> str:
    return "said" if warned else ""


def _section(title: str, rows: Iterable[Row]) -> str:
    lines = [f"\n## {title}\n", "| type | a value | arrives as | |", "|---|---|---|---|"]
    lines += [f"| {_code(a)} | {_code(b)} | {_code(c)} | {said} |" for a, b, c, said in rows]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """As code within a table: a bar would end the cell, and a long number says no more than its beginning."""
    shown = text if len(text) <= 60 else f"{text[:50]}…"
    shown = shown.replace("\0", "␀").replace("|", "\\|")
    return f"`{shown}`" if "`" not in shown else f"`` {shown} ``"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  it is written to a file
