"""Rows for people and JSON: every value as a number, a boolean, a text or null, and none that JSON cannot carry."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import pyarrow as pa

from dataplane.types import as_text

_AS_THEY_ARE = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "VARCHAR"}
)


def rows_of(table: pa.Table) -> tuple[list[dict[str, str]], list[list[Any]]]:
    """Columns ({name, type} with DuckDB's type) and rows of a small table.

    Objects, maps and lists become JSON. Decimals, times and everything else become DuckDB's text for them: exact, and
    without Python's limits (an endless date or a year before Christ has no Python value). NaN and infinite numbers
    become text, too.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.from_arrow(table)
        types = [str(each) for each in relation.types]
        columns = [{"name": name, "type": type_} for name, type_ in zip(relation.columns, types, strict=True)]
        if not columns:
            return [], []
        # By position: names may be repeated, or be written in ways that need quoting.
        items = [
            f"#{place}" if type_ in _AS_THEY_ARE or type_ in ("DOUBLE", "FLOAT") else as_text(f"#{place}", type_)
            for place, type_ in enumerate(types, 1)
        ]
        rows = relation.project(", ".join(f"{each} AS c{place}" for place, each in enumerate(items))).fetchall()
    return columns, [[_finite(value) for value in row] for row in rows]


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
