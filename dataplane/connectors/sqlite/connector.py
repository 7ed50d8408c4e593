"""The connector: tests, discovers, plans and reads one SQLite file, always read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar
from urllib.parse import quote

import duckdb

from dataplane.connectors.base import Capabilities, Column, StreamConfig, StreamInfo
from dataplane.connectors.databases import cursors
from dataplane.connectors.databases.file import CATALOG, DatabaseFile, FileParams, Offered, chosen_columns, gone
from dataplane.connectors.sqlite import types
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.relations import identifier, literal

_SAMPLE = 1000


class SQLite(DatabaseFile):
    """Tables and views of an SQLite file. A cell that is not of its column's type is set aside, and reported."""

    key = "sqlite"
    title = "SQLite"
    summary = "Tables and views of an SQLite file, whole or by a cursor column."
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, parallel=True, resumable=True)
    Params: ClassVar[type[FileParams]] = FileParams
    extensions = ("sqlite_scanner",)

    @contextmanager
    def _attached(self, duck: duckdb.DuckDBPyConnection, path: str) -> Iterator[None]:
        with self._catalog(path) as catalog:
            wal = catalog.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            # Without a write-ahead log this transaction keeps writers out until everything is read; with one, writers
            # go on, and one connection of the scanner's sees one moment where several would not.
            catalog.execute("BEGIN")
            catalog.execute("SELECT count(*) FROM sqlite_master").fetchone()
            duck.execute(f"SET sqlite_disable_multithreaded_scans = {str(wal).lower()}")
            duck.execute(f"ATTACH {literal(path)} AS {CATALOG} (TYPE sqlite, READ_ONLY)")
            try:
                duck.execute("BEGIN TRANSACTION")
                yield
            except duckdb.Error as error:
                raise self._explained(error, path) or error from error
            finally:
                with suppress(duckdb.Error):
                    duck.execute("ROLLBACK")
                duck.execute(f"DETACH DATABASE IF EXISTS {CATALOG}")

    @contextmanager
    def _catalog(self, path: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None)) as catalog:
                yield catalog
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _refused(self, error: sqlite3.Error) -> ConfigurationError | TransientError:
        shown, said = self.params.path, str(error)
        if "locked" in said or "busy" in said:
            return TransientError(
                f"{shown} is being written by another program and did not come free in time. It is tried again.",
                code="file_locked",
                evidence={"file": shown, "said": said},
            )
        return ConfigurationError(
            f"{shown} cannot be read as an SQLite file: {said}. Name another file; a file that its program has not "
            "closed needs a folder in which Manifold may read its -wal and -shm files.",
            code="file_format",
            evidence={"file": shown, "said": said},
        )

    def _explained(self, error: duckdb.Error, path: str) -> Exception | None:
        said = str(error).replace(path, self.params.path)
        if "database is locked" in said:
            return self._refused(sqlite3.OperationalError("database is locked"))
        return None

    def _tables(self, duck: duckdb.DuckDBPyConnection, path: str) -> list[StreamInfo]:
        with self._catalog(path) as catalog:
            names = catalog.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE "
                "'\\' ORDER BY name"
            ).fetchall()
            return [self._table(duck, catalog, name) for (name,) in names]

    def _table(self, duck: duckdb.DuckDBPyConnection, catalog: sqlite3.Connection, name: str) -> StreamInfo:
        described = _described(catalog, name)
        arriving = _settled(duck, name, described)
        key = sorted((each["pk"], each["name"]) for each in described if each["pk"])
        return StreamInfo(
            name,
            arriving,
            primary_key=tuple(each for _, each in key),
            cursor_candidates=tuple(each.name for each in arriving if cursors.can_be_cursor(each.type)),
        )

    def _offer(self, duck: duckdb.DuckDBPyConnection, path: str, stream: StreamConfig) -> Offered:
        with self._catalog(path) as catalog:
            described = _described(catalog, stream.name)
        if not described:
            raise gone(stream)
        declared = {each.name for each in stream.columns}
        if declared.issuperset(each["name"] for each in described):
            there = tuple(_column(each, "VARCHAR") for each in described)
        else:
            there = _settled(duck, stream.name, described)
        columns, warnings = chosen_columns(stream, there)
        return _offered(duck, stream.name, columns, warnings)


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


def _described(catalog: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    names = ("cid", "name", "type", "notnull", "default", "pk")
    found = catalog.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall()
    return [dict(zip(names, each, strict=False)) for each in found]


def not_text(table: str) -> DataError:
    return DataError(
        f"A text in {table} is not UTF-8, so it cannot be read. Mend it in SQLite, or leave its column out of the "
        "stream.",
        code="invalid_input",
        evidence={"stream": table},
    )
