"""The key of a merge: its columns are there, no value of it is NULL, and none stands twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import duckdb

from dataplane.checks.places import Places
from dataplane.errors import ConfigurationError, DataError, Suggestion
from dataplane.relations import identifier, relation_sql
from dataplane.steps.base import ColumnType, Table
from dataplane.storage import Storage

_SAMPLES = 5


def resolved(
    key: Sequence[str], columns: Iterable[ColumnType], there: Iterable[ColumnType] | None, target: str
) -> tuple[str, ...]:
    """The key by the names that its columns have in the input; capital letters make no difference.

    there: the columns that the target has already, None where it is new. Raises ConfigurationError for a column that
    the input or the target lacks.
    """
    known = {each.name.lower(): each.name for each in columns}
    missing = [each for each in key if each.lower() not in known]
    if missing:
        raise ConfigurationError(
            f"The key of the merge into `{target}` names {_listed(missing)}, which does not arrive. Its input has "
            f"{_listed(known.values())}: name those columns that tell its rows apart.",
            code="key_missing",
            evidence={"key": list(key), "columns": list(known.values())},
        )
    if there is not None:
        old = {each.name.lower() for each in there}
        new = [each for each in key if each.lower() not in old]
        if new:
            raise ConfigurationError(
                f"`{target}` has no column {_listed(new)}, so nobody can say which of its rows the key of the merge "
                "means. Choose a key that it has, or load everything anew with a seed run.",
                code="key_missing",
                evidence={"key": list(key), "target": target},
            )
    return tuple(known[each.lower()] for each in key)


def refuse_bad_keys(connection: duckdb.DuckDBPyConnection, storage: Storage, table: Table, key: Sequence[str]) -> None:
    """Raise DataError with sample rows where a value of the key is NULL or stands twice."""
    rows = relation_sql(table, storage)
    absent = " OR ".join(f"{identifier(each)} IS NULL" for each in key)
    listed = ", ".join(identifier(each) for each in key)
    nulls, doubled = _one(
        connection,
        f"SELECT (SELECT count(*) FROM ({rows}) WHERE {absent}), "
        f"(SELECT count(*) FROM (SELECT 1 FROM ({rows}) GROUP BY {listed} HAVING count(*) > 1))",
    )
    if nulls:
        samples = _samples(connection, storage, table, key, absent)
        raise DataError(
            f"{nulls:,} of {table.rows:,} rows have no value in the key {_listed(key)}, so they cannot be merged; the "
            f"first is {_said(samples)}. Leave them out with a check (`not_null`, action quarantine) before the load.",
            code="key_null",
            evidence={"key": list(key), "rows": nulls, "samples": samples},
        )
    if doubled:
        twice = f"count(*) OVER (PARTITION BY {listed}) > 1"
        samples = _samples(connection, storage, table, key, twice, window=True)
        raise DataError(
            f"{doubled:,} values of the key {_listed(key)} stand in several rows, so nobody can say which row counts; "
            f"the first is {_said(samples)}. Keep one row of each in a sql step before the load, such as QUALIFY "
            f"row_number() OVER (PARTITION BY {listed} ORDER BY …) = 1, or name more columns in the key.",
            code="key_twice",
            evidence={"key": list(key), "keys": doubled, "samples": samples},
        )


def refuse_doubled(connection: duckdb.DuckDBPyConnection, key: Sequence[str], dataset: str) -> DataError:
    """What to say of a dataset (`kept`) that holds a key of the input (`incoming`) in several rows."""
    listed = ", ".join(f"o.{identifier(each)}" for each in key)
    matching = " AND ".join(f"o.{identifier(each)} = i.{identifier(each)}" for each in key)
    found = connection.execute(
        f"SELECT {_texts(key, 'o.')}, count(*) FROM kept o SEMI JOIN incoming i ON {matching} "
        f"GROUP BY {listed} HAVING count(*) > 1 ORDER BY ALL LIMIT {_SAMPLES}"
    ).fetchall()
    samples = [{"values": _values(key, row), "rows": row[-1]} for row in found]
    return DataError(
        f"The dataset `{dataset}` holds values of the key {_listed(key)} in several rows, such as "
        f"{_said(samples)}, so nobody can say which one the merge means. Load everything anew with a seed run.",
        code="key_twice_in_dataset",
        evidence={"dataset": dataset, "key": list(key), "samples": samples},
        suggestions=[
            Suggestion("seed", "Start a run with mode seed", "Everything is read again and takes its place.", True)
        ],
    )


def _samples(
    connection: duckdb.DuckDBPyConnection,
    storage: Storage,
    table: Table,
    key: Sequence[str],
    condition: str,
    *,
    window: bool = False,
) -> list[dict[str, Any]]:
    """The first rows that the condition holds for, with their places in the source where those are known."""
    listed = ", ".join(identifier(each) for each in key)
    rows = connection.execute(
        f"SELECT {_texts(key)}, __file, __ordinal FROM ({relation_sql(table, storage, positions=True)}) "
        f"{'QUALIFY' if window else 'WHERE'} {condition} "
        f"ORDER BY {f'{listed}, ' if window else ''}__file, __ordinal LIMIT {_SAMPLES}"
    ).fetchall()
    places = Places(table, storage)
    where = places.shown((row[-2], row[-1]) for row in rows)
    samples = []
    for row in rows:
        file, number = where[row[-2], row[-1]]
        samples.append({"file": file, "row": number, "values": _values(key, row)})
    return samples


def _texts(key: Sequence[str], of: str = "") -> str:
    """The values of a key as texts: exact, whatever their type."""
    return ", ".join(f"CAST({of}{identifier(each)} AS VARCHAR)" for each in key)


def _values(key: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(key, row, strict=False))


def _said(samples: list[dict[str, Any]]) -> str:
    """The first sample in words."""
    first = samples[0]
    values = ", ".join(f"{name} = {'NULL' if value is None else value}" for name, value in first["values"].items())
    if "row" not in first:
        return values
    return f"{values} (row {first['row']}" + (f" of {first['file']})" if first["file"] else ")")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in names)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
