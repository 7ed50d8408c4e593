"""The table that a load goes into, found, made, or given columns; the ledger beside it.

Whatever changes a table's definition is committed by the server at once, so it all happens before the transaction of
the load. A worker that dies in between leaves a table, or a column, without rows: the next attempt finds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pymysql
from pymysql.connections import Connection

from dataplane.connectors.databases.names import Name
from dataplane.connectors.databases.widening import Wider, cannot
from dataplane.connectors.destination import LEDGER, Load, Loaded, TableColumn, listed, vanished
from dataplane.connectors.mysql import session, wire
from dataplane.connectors.mysql.types import quoted
from dataplane.connectors.mysql.wire import There
from dataplane.errors import ConfigurationError, DataError
from dataplane.steps.base import ColumnType

_LONGEST = 64
LETTERS = 16_383
"""The longest varchar of four bytes a letter."""
_TABLE = """
SELECT t.table_type AS a, coalesce(e.transactions, '') AS b, t.engine AS c
FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine
WHERE t.table_schema = %s AND t.table_name = %s
"""
_COLUMNS = """
SELECT c.column_name AS a, c.data_type AS b, c.column_type AS c, c.character_set_name AS d, c.collation_name AS e,
       c.numeric_scale AS f, c.datetime_precision AS g, c.is_nullable AS h, c.column_default AS i, c.extra AS j
FROM information_schema.columns c WHERE c.table_schema = %s AND c.table_name = %s ORDER BY c.ordinal_position
"""
_KEYS = """
SELECT s.index_name AS a, s.column_name AS b
FROM information_schema.statistics s
WHERE s.table_schema = %s AND s.table_name = %s AND s.non_unique = 0 AND s.sub_part IS NULL
"""
_LEDGER = """
CREATE TABLE IF NOT EXISTS {ledger} (
  pipeline char(36) NOT NULL, step varchar(200) NOT NULL, target varchar(150) NOT NULL, load_key varchar(100) NOT NULL,
  run char(36) NOT NULL, mode varchar(10) NOT NULL, inserted bigint NOT NULL, updated bigint NOT NULL,
  deleted bigint NOT NULL, skipped bigint NOT NULL, loaded_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (pipeline, step, target, load_key)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
"""


def named(load: Load, database: str) -> Name:
    """The target of a load. Raises ConfigurationError."""
    schema, _, table = load.table.rpartition(".")
    if table.lower().startswith("_manifold_") or any(_unusable(each) for each in (schema or database, table)):
        raise ConfigurationError(
            f"{load.table!r} cannot be the name of a table. Write `table` or `database.table`, each of at most "
            f"{_LONGEST} characters; names that begin with _manifold_ are taken.",
            code="table_name",
            evidence={"table": load.table},
        )
    return Name(schema or database, table, quoted)


def _unusable(name: str) -> bool:
    return not name or "\0" in name or "%" in name or len(name) > _LONGEST or name != name.rstrip()


def find(connection: Connection, name: Name) -> tuple[There, ...]:
    """The table's columns; none where there is no table. Raises ConfigurationError for a view or the like."""
    rows = session.ask(connection, _TABLE, name.schema, name.table)
    if not rows:
        return ()
    kind, transactions, engine = rows[0]
    if kind != "BASE TABLE":
        raise ConfigurationError(
            f"{name.text} is no ordinary table, so no rows can be loaded into it. Name a table, or one that is not "
            "there yet.",
            code="not_a_table",
            evidence={"table": name.text},
        )
    if transactions != "YES":
        raise ConfigurationError(
            f"{name.text} is kept by the engine {engine}, which has no transactions, so a load could stop half-way. "
            "Change it: ALTER TABLE … ENGINE = InnoDB.",
            code="not_transactional",
            evidence={"table": name.text, "engine": engine},
        )
    return tuple(_there(row) for row in session.ask(connection, _COLUMNS, name.schema, name.table))


def _there(row: tuple[object, ...]) -> There:
    name, base, native, charset, collation, scale, fraction, nullable, default, extra = row
    said = str(extra).lower()
    # A computed column says VIRTUAL, STORED or PERSISTENT; one with a default of its own says DEFAULT_GENERATED.
    computed = bool(re.search(r"\b(virtual|stored|persistent)\b", said))
    filled = nullable == "YES" or default is not None or "auto_increment" in said or "default_generated" in said
    return There(
        name=str(name),
        base=str(base),
        native=re.sub(r"^(double|float) unsigned$", r"\1", str(native)),
        charset=str(charset or ""),
        collation=str(collation or ""),
        fraction=int(str(scale if base == "decimal" else fraction or 0)),
        needed=not filled,
        generated=computed,
        nullable=nullable == "YES",
    )


def shape(columns: Iterable[There]) -> tuple[TableColumn, ...]:
    return tuple(TableColumn(each.name, each.native, each.needed, each.generated) for each in columns)


def fitting(columns: Iterable[There]) -> Callable[[ColumnType, TableColumn], bool]:
    """Whether every value of a column arrives unchanged in one of these, or is refused."""
    there = {each.name: each for each in columns}
    return lambda one, other: wire.fits(one, there[other.name])


def make(connection: Connection, load: Load, name: Name, arriving: Sequence[ColumnType]) -> None:
    """A new table for these rows; what a merge goes by is its primary key."""
    keys = {each.lower() for each in load.by}
    exact = exact_collation(connection)
    items = []
    for each in arriving:
        part = len(keys) if each.name.lower() in keys else 0
        nullable = "NOT NULL" if part else "NULL"
        items.append(f"{quoted(_usable(each))} {wire.new_type(each, key=part, exact=exact)} {nullable}")
    by = [quoted(each.name) for each in arriving if each.name.lower() in keys]
    if by:
        items.append(f"PRIMARY KEY ({', '.join(by)})")
    session.ask(connection, f"CREATE TABLE {name.sql} ({', '.join(items)}) ENGINE = InnoDB CHARACTER SET utf8mb4")


def add(connection: Connection, name: Name, columns: Iterable[ColumnType]) -> None:
    exact = exact_collation(connection)
    items = [f"ADD COLUMN {quoted(_usable(each))} {wire.new_type(each, exact=exact)} NULL" for each in columns]
    session.ask(connection, f"ALTER TABLE {name.sql} {', '.join(items)}")


def widen(connection: Connection, load: Load, name: Name, wider: Sequence[Wider]) -> tuple[str, ...]:
    """Make columns wider, and change nothing else of them. Raises DataError for one that cannot be changed."""
    lines = str(session.ask(connection, f"SHOW CREATE TABLE {name.sql}")[0][1]).splitlines()
    said = []
    for each in wider:
        start = f"  {quoted(each.name)} {each.was}"
        # MODIFY forgets what is not said again: default, NOT NULL, collation, comment.
        rest = next((line[len(start) :].rstrip(",") for line in lines if line.startswith(start)), None)
        if rest is None:
            raise cannot(load, each, _wider_types(each)[0], "SHOW CREATE TABLE does not tell how it is declared")
        said.append(each.said(_modify(connection, load, name, each, rest)))
    return tuple(said)


def _modify(connection: Connection, load: Load, name: Name, wider: Wider, rest: str) -> str:
    """Change one column's type, to the least that is needed where there is no room for more; the type."""
    refused = ""
    for type_ in _wider_types(wider):
        try:
            session.ask(connection, f"ALTER TABLE {name.sql} MODIFY COLUMN {quoted(wider.name)} {type_}{rest}")
        except pymysql.Error as error:
            refused = str(error.args[-1])
        else:
            return type_
    raise cannot(load, wider, type_, refused)


def _wider_types(wider: Wider) -> list[str]:
    """The types that would do, the best first."""
    if wider.letters:
        return [f"varchar({each})" for each in dict.fromkeys((wider.letters, wider.least))]
    return [wire.new_type(ColumnType(wider.name, wider.number))]


def _usable(column: ColumnType) -> str:
    if len(column.name) > _LONGEST or column.name != column.name.rstrip():
        raise DataError(
            f"The column {listed([column.name])} has a name of more than {_LONGEST} characters, or one that ends with "
            "a blank. Rename it in a sql step before the load.",
            code="column_unsupported",
            evidence={"column": column.name, "type": column.type},
        )
    return column.name


def exact_collation(connection: Connection) -> str:
    """Under which texts are the same only if they are so byte by byte, blanks at their end counted."""
    return "utf8mb4_nopad_bin" if session.is_mariadb(connection) else "utf8mb4_bin"


def unique(connection: Connection, name: Name, by: Sequence[str]) -> bool:
    """Whether an index makes sure that no value of these columns stands twice."""
    keys: dict[str, set[str]] = {}
    for index, column in session.ask(connection, _KEYS, name.schema, name.table):
        keys.setdefault(index, set()).add(column)
    return any(columns <= set(by) for columns in keys.values())


def ledger(connection: Connection, load: Load, name: Name) -> Loaded | None:
    """What the ledger says of this load, or of a later run's; the ledger is made when it is not there."""
    there = "SELECT 1 FROM information_schema.tables t WHERE t.table_schema = %s AND t.table_name = %s"
    if not session.ask(connection, there, name.schema, LEDGER):
        session.ask(connection, _LEDGER.format(ledger=name.ledger))
        return None
    mine = [str(load.pipeline), load.step, name.text]
    where = f"FROM {name.ledger} WHERE pipeline = %s AND step = %s AND target = %s"
    counts = f"SELECT inserted, updated, deleted, skipped {where} AND load_key = %s"
    for row in session.ask(connection, counts, *mine, load.key):
        return Loaded("already_done", *row)
    later = session.ask(connection, f"SELECT 1 {where} AND run > %s LIMIT 1", *mine, str(load.run))
    return Loaded("overtaken") if later else None


def refuse_vanished(connection: Connection, load: Load, name: Name) -> None:
    """Raises ConfigurationError when earlier loads have filled the table that is not there."""
    known = f"SELECT 1 FROM {name.ledger} WHERE pipeline = %s AND step = %s AND target = %s LIMIT 1"
    if not load.complete and session.ask(connection, known, str(load.pipeline), load.step, name.text):
        raise vanished(load)


def claim(connection: Connection, load: Load, name: Name) -> None:
    """The load's row of the ledger, in the transaction of the load."""
    session.ask(
        connection,
        f"INSERT INTO {name.ledger} (pipeline, step, target, load_key, run, mode, inserted, updated, deleted, skipped)"
        " VALUES (%s, %s, %s, %s, %s, %s, 0, 0, 0, 0)",
        *(str(load.pipeline), load.step, name.text, load.key, str(load.run), load.mode),
    )


def note(connection: Connection, load: Load, name: Name, done: Loaded) -> None:
    """Write the counts into the load's row."""
    session.ask(
        connection,
        f"UPDATE {name.ledger} SET inserted = %s, updated = %s, deleted = %s, skipped = %s"
        " WHERE pipeline = %s AND step = %s AND target = %s AND load_key = %s",
        *(done.inserted, done.updated, done.deleted, done.skipped),
        *(str(load.pipeline), load.step, name.text, load.key),
    )
