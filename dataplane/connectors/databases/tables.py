"""The table that a load goes into, and the ledger beside it, in the catalogue of an attached file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from dataplane.connectors.databases.names import Name
from dataplane.connectors.destination import LEDGER, Load, Loaded, TableColumn
from dataplane.errors import ConfigurationError
from dataplane.relations import identifier
from dataplane.steps.base import ColumnType

CATALOG = "destination"


@dataclass(frozen=True)
class Into:
    """A column that arrives, the table's column that takes it, and the value of a row `r` as that one takes it."""

    column: ColumnType
    there: TableColumn
    value: str

    @property
    def name(self) -> str:
        return identifier(self.there.name)

    @property
    def differs(self) -> str:
        return f"t.{self.name} IS DISTINCT FROM {self.value}"


@dataclass(frozen=True)
class Target:
    """A table as it is now."""

    shape: tuple[TableColumn, ...]

    @property
    def columns(self) -> dict[str, TableColumn]:
        return {each.name: each for each in self.shape}


def named(schema: str, table: str) -> Name:
    return Name(schema, table, catalog=CATALOG)


def refuse_name(load: Load, remedy: str) -> ConfigurationError:
    return ConfigurationError(
        f"{load.table!r} cannot be the name of a table. {remedy} {LEDGER} is taken.",
        code="table_name",
        evidence={"table": load.table},
    )


def find(duck: duckdb.DuckDBPyConnection, name: Name) -> Target | None:
    """The table, or None. Raises ConfigurationError for a view."""
    where = [CATALOG, name.schema, name.table]
    same = "database_name = $1 AND lower(schema_name) = lower($2)"
    view = f"SELECT 1 FROM duckdb_views() WHERE {same} AND lower(view_name) = lower($3)"
    if duck.execute(view, where).fetchone():
        raise ConfigurationError(
            f"{name.text} is a view, so no rows can be loaded into it. Name a table, or one that is not there yet.",
            code="not_a_table",
            evidence={"table": name.text},
        )
    rows = duck.execute(
        "SELECT column_name, data_type, NOT is_nullable AND column_default IS NULL FROM duckdb_columns() "
        f"WHERE {same} AND lower(table_name) = lower($3) ORDER BY column_index",
        where,
    ).fetchall()
    return Target(tuple(TableColumn(*row) for row in rows)) if rows else None


def make(
    duck: duckdb.DuckDBPyConnection, name: Name, columns: Sequence[tuple[ColumnType, str]], by: Iterable[str]
) -> None:
    """A new table; what a merge goes by is its primary key."""
    keys = {each.lower() for each in by}
    items = [f"{identifier(each.name)} {type_}" for each, type_ in columns]
    key = [identifier(each.name) for each, _ in columns if each.name.lower() in keys]
    if key:
        items.append(f"PRIMARY KEY ({', '.join(key)})")
    duck.execute(f"CREATE TABLE {name.sql} ({', '.join(items)})")


def add(duck: duckdb.DuckDBPyConnection, name: Name, columns: Iterable[tuple[ColumnType, str]]) -> None:
    for each, type_ in columns:
        duck.execute(f"ALTER TABLE {name.sql} ADD COLUMN {identifier(each.name)} {type_}")


def claim(duck: duckdb.DuckDBPyConnection, name: Name, load: Load) -> Loaded | None:
    """Take this load's row of the ledger, which is made where there is none; or what it says of a load that is done."""
    schemas = "SELECT 1 FROM duckdb_schemas() WHERE database_name = $1 AND lower(schema_name) = lower($2)"
    if not duck.execute(schemas, [CATALOG, name.schema]).fetchone():
        raise ConfigurationError(
            f"There is no schema `{name.schema}` for the table {load.table}. Create it, or mend the table's name.",
            code="schema_missing",
            evidence={"table": load.table, "schema": name.schema},
        )
    duck.execute(
        f"CREATE TABLE IF NOT EXISTS {name.ledger} (pipeline VARCHAR, step VARCHAR, target VARCHAR, load_key VARCHAR, "
        "run VARCHAR, mode VARCHAR, inserted BIGINT, updated BIGINT, deleted BIGINT, skipped BIGINT, "
        "loaded_at VARCHAR, PRIMARY KEY (pipeline, step, target, load_key))"
    )
    mine = [str(load.pipeline), load.step, name.text]
    same = f"FROM {name.ledger} WHERE pipeline = $1 AND step = $2 AND target = $3"
    counts = f"SELECT inserted, updated, deleted, skipped {same} AND load_key = $4"
    row = duck.execute(counts, [*mine, load.key]).fetchone()
    if row is not None:
        return Loaded("already_done", *row)
    if duck.execute(f"SELECT 1 {same} AND run > $4 LIMIT 1", [*mine, str(load.run)]).fetchone():
        return Loaded("overtaken")
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    duck.execute(
        f"INSERT INTO {name.ledger} VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, $7)",
        [*mine, load.key, str(load.run), load.mode, moment],
    )
    return None


def was_loaded(duck: duckdb.DuckDBPyConnection, name: Name, load: Load) -> bool:
    """Whether an earlier load of the step has filled this table."""
    row = duck.execute(
        f"SELECT 1 FROM {name.ledger} WHERE pipeline = $1 AND step = $2 AND target = $3 AND load_key <> $4 LIMIT 1",
        [str(load.pipeline), load.step, name.text, load.key],
    ).fetchone()
    return row is not None


def note(duck: duckdb.DuckDBPyConnection, name: Name, load: Load, done: Loaded) -> None:
    """Write the counts into the load's row."""
    duck.execute(
        f"UPDATE {name.ledger} SET inserted = $5, updated = $6, deleted = $7, skipped = $8 "
        "WHERE pipeline = $1 AND step = $2 AND target = $3 AND load_key = $4",
        [str(load.pipeline), load.step, name.text, load.key, done.inserted, done.updated, done.deleted, done.skipped],
    )
