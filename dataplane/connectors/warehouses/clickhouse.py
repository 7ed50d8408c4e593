"""ClickHouse over its own HTTP interface, which answers in Arrow: no driver has to be installed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlencode

import pyarrow as pa
from pydantic import Field

from dataplane.connectors.databases.guards import alarm
from dataplane.connectors.fields import said
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.connector import Warehouse
from dataplane.connectors.warehouses.dialect import Dialect
from dataplane.connectors.warehouses.params import HttpParams
from dataplane.connectors.warehouses.session import ANYWHERE, GRACE_SECONDS, Session
from dataplane.connectors.warehouses.types import (
    ZONED,
    Arrival,
    Expression,
    Native,
    as_it_is,
    by_text,
    decimal,
    other,
    unchanged,
)
from dataplane.errors import ManifoldError, TransientError
from dataplane.http import Http

_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((?P<within>.*)\)", re.DOTALL)
_WHOLE = {
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
}
_WIDE = ("int128", "int256", "uint128", "uint256")
_NESTED = frozenset(
    {"array", "map", "tuple", "nested", "json", "object", "variant", "dynamic", "point", "ring", "linestring"}
    | {"multilinestring", "polygon", "multipolygon"}
)
_TAIL = 4096
_READ_ONLY = "164"
_CODE = re.compile(r"Code: (\d+)")
_CODES = {
    "192 193 194 516": "authentication",
    "497": "missing_grant",
    "81": "database_missing",
    "60": "table_missing",
    "16 47": "column_missing",
    "62": "query_syntax",
    "164": "session_settings",
    "159 160": "statement_timeout",
    "202 241 439": "server_busy",
    "209 210 236 394": "connection_lost",
}
# An answer that ends too soon tells no number.
_KINDS = {"": "connection_lost"} | {number: code for numbers, code in _CODES.items() for number in numbers.split()}


class ClickHouseParams(HttpParams):
    """Address, sign-in and encryption of one server."""

    port: int = Field(default=8123, title="Port", description="Of the HTTP interface: 8123, or 8443 encrypted.")
    database: str = Field(
        default="default", title="Database", description="Where a query's tables are, unless it says otherwise."
    )
    user: str = Field(
        default="default",
        title="User",
        description="A user who may read, and change settings (readonly = 2).",
        json_schema_extra=said("Sign in"),
    )
    schemas: tuple[str, ...] = Field(
        default=(),
        title="Databases",
        description="Only these are looked at; none named: all but the system's.",
        json_schema_extra=said("Reading"),
    )


class ClickHouseSQL(Dialect):
    product, grammar = "ClickHouse", "clickhouse"
    hidden = ("system", "INFORMATION_SCHEMA", "information_schema")

    def quoted(self, name: str) -> str:
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def text_constant(self, value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def natural(self, column: Native) -> Arrival:
        within = _unwrapped(column)
        return _number(within) or _moment(within) or _text_or_other(within)

    def arrival(self, column: Native, wanted: str | None = None) -> Arrival:
        found = super().arrival(column, wanted)
        return _decoded(found) if found.textual else found

    def constant(self, column: Native, value: str) -> str:
        within = _unwrapped(column)
        if within.base in ("datetime", "datetime64"):
            digits = 9 if within.numbers[:1] > (6,) else 6
            return f"toDateTime64({self.text_constant(value.removesuffix('+00'))}, {digits}, 'UTC')"
        if within.base in _WHOLE:
            return str(int(value))
        return f"CAST({self.text_constant(value)} AS {within.native})"

    def bytewise(self, column: Native) -> Expression | None:
        base = _unwrapped(column).base
        if base == "string":
            return unchanged
        return _text if base in ("fixedstring", "uuid") else None

    def relations(self, schemas: Sequence[str]) -> str:
        return (
            "SELECT database, name, if(engine LIKE '%View', 'view', 'table'), toInt64(total_rows), "
            "toInt64(total_bytes) FROM system.tables "
            f"WHERE NOT is_temporary AND {self.chosen('database', schemas)} ORDER BY database, name"
        )

    def columns(self, schemas: Sequence[str], table: str = "") -> str:
        only = f" AND table = {self.text_constant(table)}" if table else ""
        return (
            "SELECT database, table, name, type, if(type LIKE 'Nullable(%' OR type LIKE 'LowCardinality(Nullable(%', "
            f"'YES', 'NO') FROM system.columns WHERE {self.chosen('database', schemas)}{only} "
            "ORDER BY database, table, position"
        )


def _unwrapped(column: Native) -> Native:
    """The column without Nullable and LowCardinality, which say nothing of its values."""
    while found := _WRAPPED.fullmatch(column.native):
        column = replace(column, native=found["within"])
    return column


def _text(sql: str) -> str:
    return f"toString({sql})"


def _number(column: Native) -> Arrival | None:
    name, base = column.name, column.base
    if base in _WHOLE:
        return as_it_is(name, _WHOLE[base], _text)
    if base in _WIDE:
        return by_text(name, "VARCHAR", _text, f"{column.native} may not fit 38 digits and arrives as its text")
    if base in ("float32", "float64"):
        return as_it_is(name, "FLOAT" if base == "float32" else "DOUBLE", _text)
    if base == "bfloat16":
        return by_text(name, "FLOAT", _text)
    if base == "bool":
        return replace(as_it_is(name, "BOOLEAN", _text), server=lambda sql: f"toUInt8({sql})")
    if base == "decimal":
        return decimal(name, column.numbers[0], column.numbers[1], _text)
    return None


def _moment(column: Native) -> Arrival | None:
    name, base = column.name, column.base
    if base in ("date", "date32"):
        return by_text(name, "DATE", _text)
    if base not in ("datetime", "datetime64"):
        return None
    finer = base == "datetime64" and column.numbers[0] > 6
    digits, unit = (9, "Nano") if finer else (6, "Micro")
    failure = alarm(name, "'a time finer than microseconds'", ZONED)

    def read(sql: str) -> str:
        whole = f"make_timestamptz({sql} // 1000)" if finer else f"make_timestamptz({sql})"
        return f"CASE WHEN {sql} % 1000 <> 0 THEN {failure} ELSE {whole} END" if finer else whole

    return Arrival(
        name,
        ZONED,
        lambda sql: f"toUnixTimestamp64{unit}(toDateTime64({sql}, {digits}))",
        read,
        lambda sql: f"toString(toTimeZone({sql}, 'UTC'))",
        "one that is finer than microseconds stops the read" if finer else "",
    )


def _text_or_other(column: Native) -> Arrival:
    name, base = column.name, column.base
    if base in ("string", "fixedstring"):
        return by_text(name, "VARCHAR", unchanged if base == "string" else _text)
    if base in ("enum8", "enum16"):
        return by_text(name, "VARCHAR", _text)
    if base == "uuid":
        return by_text(name, "UUID", _text)
    if base in _NESTED:
        return by_text(name, "VARCHAR", lambda sql: f"toJSONString({sql})", f"{base} arrives as JSON")
    return other(name, column.native, _text)


def _decoded(arrival: Arrival) -> Arrival:
    """Texts come as bytes, for the server's may be in any code; those that are no UTF-8 are named."""

    def read(sql: str) -> str:
        failure = alarm(arrival.name, f"concat('bytes that are no UTF-8, ', hex({sql}))", "VARCHAR")
        return arrival.local(f"coalesce(try(decode({sql})), CASE WHEN {sql} IS NOT NULL THEN {failure} END)")

    return replace(arrival, local=read)


class ClickHouse(Warehouse):
    """ClickHouse 22.3 and later, and ClickHouse Cloud."""

    key = "clickhouse"
    title = "ClickHouse"
    summary = "Tables, views and queries of a ClickHouse server, whole or by a cursor column."
    tested_with = "ClickHouse 26.5's engine (chDB), behind HTTP of the tests' own"
    Params: ClassVar[type[ClickHouseParams]] = ClickHouseParams
    params: ClickHouseParams
    server = "ClickHouse's HTTP interface"
    dialect = ClickHouseSQL()
    schemes = ("clickhouse", "clickhouses", "ch")
    services = ("clickhouse.cloud",)

    def opened(self, address: str, seconds: float) -> Session:
        return HttpSession(self.params, self.dialect, seconds)

    def version(self, session: Session) -> str:
        return f"ClickHouse {session.one('SELECT version()', 'the version')}, " + (
            "not encrypted" if self.params.sslmode == "disable" else "encrypted"
        )


class HttpSession(Session):
    """One statement is one request, which cannot write."""

    def __init__(self, params: ClickHouseParams, dialect: Dialect, seconds: float) -> None:
        self._params, self._dialect = params, dialect
        self._http = Http(ANYWHERE, idle=seconds + GRACE_SECONDS)
        self._seconds = seconds
        self._open = ExitStack()
        self._answer: _Answer | None = None
        settings = {
            "database": params.database,
            "readonly": 2,
            "max_execution_time": int(seconds),
            "session_timezone": "UTC",
            "output_format_arrow_string_as_string": 0,
            "output_format_arrow_compression_method": "none",
            "max_block_size": 16_384,
        }
        self._url = f"{params.url}?{urlencode(settings)}"
        self._secret = {"X-ClickHouse-User": params.user, "X-ClickHouse-Key": params.password or ""}

    def rows(self, sql: str) -> pa.RecordBatchReader:
        self._open.close()
        self._http.deadline = time.monotonic() + self._seconds + GRACE_SECONDS
        body = f"{sql}\nFORMAT ArrowStream".encode()
        answer = self._open.enter_context(self._http.post_text(self._url, body, self._secret))
        if answer.status != 200:
            raise _Refused(answer.beginning(_TAIL).decode(errors="replace"))
        self._answer = _Answer(answer.chunks())
        return pa.ipc.open_stream(self._answer)

    def ask(self, sql: str, what: str) -> list[tuple[Any, ...]]:
        found = super().ask(sql, what)
        return [tuple(each.decode() if isinstance(each, bytes) else each for each in row) for row in found]

    def columns(self, query: str, what: str) -> list[Native]:
        found = self.ask(f"DESCRIBE TABLE (\n{query}\n)", what)
        return [Native(each[0], each[1], "Nullable(" in each[1]) for each in found]

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        about = self._params.about
        if isinstance(error, _Refused):
            # One number stands for both: what would write, and a setting that may not be changed.
            writes = error.number == _READ_ONLY and "setting" not in error.said
            code = "query_writes" if writes else _KINDS.get(error.number, "statement_refused")
            return faults.refused(code, error.said, what, about)
        if isinstance(error, pa.ArrowException) and self._answer is not None:
            return self.explained(self._answer.broken(), what)
        return None

    def close(self) -> None:
        self._open.close()
        self._http.close()


class _Refused(Exception):
    """The server's own words, in which the number of its error stands."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said
        found = _CODE.search(said)
        self.number = found[1] if found else ""


class _Answer:
    """An answer as a file, from which a stream of Arrow is read.

    A server that fails half-way writes its error behind the rows. And a stream that is cut off between two batches
    would pass for a whole one; whoever has read its end mark never asks for more.
    """

    closed = False

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left, self._tail = chunks, memoryview(b""), b""

    def read(self, size: int) -> bytes:
        parts: list[memoryview] = []
        while size > 0:
            if not self._left:
                self._left = memoryview(self._next())
            parts.append(self._left[:size])
            size -= len(parts[-1])
            self._left = self._left[len(parts[-1]) :]
        return b"".join(parts)

    def _next(self) -> bytes:
        try:
            chunk = next(self._chunks, b"")
        except TransientError:
            chunk = b""
        self._tail = (self._tail + chunk[-_TAIL:])[-_TAIL:]
        if not chunk:
            raise self._refusal()
        return chunk

    def broken(self) -> _Refused:
        """Why what was read makes no sense: what is left of the answer may tell."""
        with suppress(_Refused):
            while self._next():
                pass
        return self._refusal()

    def _refusal(self) -> _Refused:
        said = self._tail[max(0, self._tail.find(b"Code: ")) :] if b"DB::Exception" in self._tail else b""
        return _Refused(said.decode(errors="replace") or "the answer ended before its end")

    def close(self) -> None:
        self.closed = True
