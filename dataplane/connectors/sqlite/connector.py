"""The connector: tests, discovers, plans and reads one SQLite file, always read-only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.databases import cursors, writing
from dataplane.connectors.databases.attaching import answered, detach
from dataplane.connectors.databases.file import CATALOG, DatabaseFile, Offered, chosen_columns, gone
from dataplane.connectors.destination import LEDGER, Destination, Load, Loaded, Rows, Watch
from dataplane.connectors.files.single import allowed_file
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.sqlite import destination, types
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.relations import identifier, literal

_SAMPLE = 1000


class SQLite(DatabaseFile, Destination):
    """Tables and views of an SQLite file. A cell that is not of its column's type is set aside, and reported."""

    key = "sqlite"
    title = "SQLite"
    summary = "Tables and views of an SQLite file, whole or by a cursor column."
    tested_with = "files of SQLite 3"
    extensions = ("sqlite_scanner",)

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.database_file(
            clue, product=cls.title, scheme="sqlite", suffixes=(".sqlite", ".sqlite3", ".db")
        )

    @contextmanager
    def _attached(self, duck: duckdb.DuckDBPyConnection, path: str) -> Iterator[None]:
        # Only DuckDB's own copy of SQLite may open the file: a second copy in one process would drop its locks.
        try:
            duck.execute(f"ATTACH {literal(path)} AS {CATALOG} (TYPE sqlite, READ_ONLY)")
            try:
                duck.execute("BEGIN TRANSACTION")
                # Without a write-ahead log this keeps writers out until everything is read; with one, writers go on,
                # and one connection of the scanner's sees one moment where several would not.
                modes = asked(
                    duck, "SELECT (SELECT count(*) FROM sqlite_master), journal_mode FROM pragma_journal_mode"
                )
                duck.execute(f"SET sqlite_disable_multithreaded_scans = {str(modes[0][1] == 'wal').lower()}")
                yield
            finally:
                detach(duck)
        except duckdb.Error as error:
            raise refused(self.params.path, path, error) or error from error

    def _tables(self, duck: duckdb.DuckDBPyConnection, path: str) -> list[StreamInfo]:
        names = asked(
            duck,
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "ORDER BY name",
        )
        return [self._table(duck, name) for (name,) in names if name != LEDGER]

    def _table(self, duck: duckdb.DuckDBPyConnection, name: str) -> StreamInfo:
        described = _described(duck, name)
        arriving = _settled(duck, name, described)
        key = sorted((each["pk"], each["name"]) for each in described if each["pk"])
        return StreamInfo(
            name,
            arriving,
            primary_key=tuple(each for _, each in key),
            cursor_candidates=tuple(each.name for each in arriving if cursors.can_be_cursor(each.type)),
        )

    def _offer(self, duck: duckdb.DuckDBPyConnection, path: str, stream: StreamConfig) -> Offered:
        described = _described(duck, stream.name)
        if not described:
            raise gone(stream)
        declared = {each.name for each in stream.columns}
        if declared.issuperset(each["name"] for each in described):
            there = tuple(_column(each, "VARCHAR") for each in described)
        else:
            there = _settled(duck, stream.name, described)
        columns, warnings = chosen_columns(stream, there)
        return _offered(duck, stream.name, columns, warnings)

    def load(self, load: Load, rows: Rows, watch: Watch) -> Loaded:
        path = allowed_file(self.params.path, self.roots)
        return writing.load(destination.SQLiteDialect(self.params.path, path), load, rows, watch)


def _offered(
    duck: duckdb.DuckDBPyConnection, table: str, columns: tuple[Column, ...], warnings: tuple[str, ...]
) -> Offered:
    names = [each.name for each in columns]
    told = _told(table, names)
    items = ", ".join(f"{types.value(n, each.type)} AS {identifier(each.name)}" for n, each in enumerate(columns))
    misfits = [types.misfit(n, each.type) for n, each in enumerate(columns)]
    lenient = f"SELECT {items} FROM ({told}) WHERE NOT ({' OR '.join(misfits)})"
    reasons = " ".join(
        f"WHEN {misfit} THEN concat({literal(each.name)}, ': ', k{n}, ' is no {each.type}')"
        for n, (each, misfit) in enumerate(zip(columns, misfits, strict=True))
    )
    raw = ", ".join(f"{literal(each.name)}, v{n}" for n, each in enumerate(columns))
    rejects = (
        f"SELECT CAST(NULL AS VARCHAR) AS file, number AS row, CASE {reasons} END AS reason, "
        f"CAST(json_object({raw}) AS VARCHAR) AS raw "
        f"FROM (SELECT *, row_number() OVER () AS number FROM ({told})) WHERE {' OR '.join(misfits)}"
    )
    scanned = _scanned(duck, table, columns)
    if scanned is not None:
        return Offered(scanned, columns, lenient, rejects, warnings)
    alarms = ", ".join(
        f"CASE WHEN {misfit} THEN CAST(error(concat('Mismatch in the column ', {literal(each.name)}, ': the ', k{n}, "
        f"' ', v{n}, ' is no {each.type}')) AS {each.type}) ELSE {types.value(n, each.type)} END "
        f"AS {identifier(each.name)}"
        for n, (each, misfit) in enumerate(zip(columns, misfits, strict=True))
    )
    return Offered(f"SELECT {alarms} FROM ({told})", columns, lenient, rejects, warnings)


def _scanned(duck: duckdb.DuckDBPyConnection, table: str, columns: tuple[Column, ...]) -> str | None:
    """The same by DuckDB's scanner, where it brings every column exactly or stops."""
    here = f"{CATALOG}.{identifier(table)}"
    found = {row[0]: row[1] for row in duck.execute(f"DESCRIBE {here}").fetchall()}
    if not all(types.scannable(each.native, each.type) and found.get(each.name) == each.type for each in columns):
        return None
    return f"SELECT {', '.join(identifier(each.name) for each in columns)} FROM {here}"


def _told(table: str, names: list[str], limit: int | None = None) -> str:
    tail = f" LIMIT {limit}" if limit else ""
    inner = f"SELECT {types.told(names)} FROM {identifier(table)}{tail}"
    return f"SELECT * FROM sqlite_query('{CATALOG}', {literal(inner)})"


def _settled(duck: duckdb.DuckDBPyConnection, table: str, described: list[dict[str, Any]]) -> tuple[Column, ...]:
    """The columns, each in the first of its types that the first rows all fit."""
    tries = [types.candidates(each["type"]) for each in described]
    asked = ", ".join(
        f"coalesce(bool_or({types.misfit(n, type_)}), false)" for n, each in enumerate(tries) for type_ in each
    )
    names = [each["name"] for each in described]
    try:
        row = list(duck.execute(f"SELECT {asked} FROM ({_told(table, names, _SAMPLE)})").fetchone() or ())
    except UnicodeDecodeError:
        raise not_text(table) from None
    columns = []
    for each, choices in zip(described, tries, strict=True):
        wrong = [row.pop(0) for _ in choices]
        fitting = [type_ for type_, misfits in zip(choices, wrong, strict=True) if not misfits]
        columns.append(_column(each, fitting[0] if fitting else choices[-1], first=choices[0]))
    return tuple(columns)


def _column(described: dict[str, Any], type_: str, first: str = "") -> Column:
    native = described["type"]
    note = (
        f"{native or 'no type'} is declared, but its first rows are read as {type_}" if first not in ("", type_) else ""
    )
    return Column(described["name"], type_, not described["notnull"], native, note)


def _described(duck: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    found = asked(duck, f'SELECT name, type, "notnull", pk FROM pragma_table_info({literal(table)}) ORDER BY cid')
    return [
        {"name": name, "type": type_ or "", "notnull": int(needed), "pk": int(key)}
        for name, type_, needed, key in found
    ]


def asked(duck: duckdb.DuckDBPyConnection, question: str) -> list[tuple[Any, ...]]:
    """What SQLite itself answers."""
    return duck.execute(f"SELECT * FROM sqlite_query('{CATALOG}', {literal(question)})").fetchall()


def refused(shown: str, path: str, error: duckdb.Error) -> ConfigurationError | TransientError | None:
    """Why an SQLite file cannot be opened or read, in our words; None for what has another reason."""
    said = str(error).replace(path, shown)
    if "database is locked" in said or "database is busy" in said:
        return TransientError(
            f"{shown} is being written by another program and did not come free in time. Close it there.",
            code="file_locked",
            evidence={"file": shown, "said": said[:500]},
        )
    if any(each in said for each in ("not a database", "malformed", "unable to open", "disk I/O", "readonly database")):
        return ConfigurationError(
            f"{shown} cannot be used as an SQLite file: {answered(said)}. Name another file; one that its "
            "program has not closed needs a folder in which Manifold may use its -wal and -shm files.",
            code="file_format",
            evidence={"file": shown, "said": answered(said)},
        )
    return None


def not_text(table: str) -> DataError:
    return DataError(
        f"A text in {table} is not UTF-8, so it cannot be read. Mend it in SQLite, or leave its column out of the "
        "stream.",
        code="invalid_input",
        evidence={"stream": table},
    )
