"""Trino over its own HTTP interface: pages of JSON, of which DuckDB makes Arrow. No driver has to be installed."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import ClassVar

import duckdb
import pyarrow as pa
from pydantic import Field, model_validator

from dataplane.connectors.fields import secret_field
from dataplane.connectors.warehouses import faults
from dataplane.connectors.warehouses.connector import Warehouse
from dataplane.connectors.warehouses.dialect import InformationSchema
from dataplane.connectors.warehouses.params import HttpParams
from dataplane.connectors.warehouses.session import ANYWHERE, GRACE_SECONDS, Session
from dataplane.connectors.warehouses.types import (
    Arrival,
    Expression,
    Native,
    as_it_is,
    by_hex,
    by_text,
    decimal,
    moment,
    other,
    unchanged,
)
from dataplane.engine import connector_instance
from dataplane.errors import ManifoldError
from dataplane.http import Http, origin

_MEMORY = 256 << 20
_BUSY_SECONDS = 60.0
_END_SECONDS = 5.0
_LARGEST = 64 << 20
_LATER = frozenset({429, 502, 503, 504})
_NUMBERS = {
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
}
_UTC = "'UTC'"
_NESTED = ("array", "map", "row")
_CODES = {
    "HTTP_401": "authentication",
    "HTTP_403": "missing_grant",
    "PERMISSION_DENIED": "missing_grant",
    "CATALOG_NOT_FOUND": "database_missing",
    "MISSING_CATALOG_NAME": "database_missing",
    "SCHEMA_NOT_FOUND": "table_missing",
    "TABLE_NOT_FOUND": "table_missing",
    "COLUMN_NOT_FOUND": "column_missing",
    "SYNTAX_ERROR": "query_syntax",
    "TOO_LARGE": "answer_too_large",
    "EXCEEDED_TIME_LIMIT": "statement_timeout",
    "ABANDONED_QUERY": "connection_lost",
    "SERVER_STARTING_UP": "server_busy",
    "QUERY_QUEUE_FULL": "server_busy",
    "CLUSTER_OUT_OF_MEMORY": "server_busy",
}


class TrinoParams(HttpParams):
    """Address, sign-in and encryption of one catalogue of a cluster. A password needs encryption."""

    port: int = Field(default=8080, title="Port", ge=1, le=65535)
    database: str = Field(title="Catalogue", description="Its tables and views are the streams.", min_length=1)

    password: str | None = secret_field(
        "Password", "Trino takes one only where it is encrypted.", only={"sslmode": ["verify-full"]}
    )

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> TrinoParams:
        if self.password and self.sslmode == "disable":
            raise ValueError("a password needs the encryption verify-full: Trino takes none without")
        return self


class TrinoSQL(InformationSchema):
    product, grammar = "Trino", "trino"

    def keys(self, schemas: Sequence[str]) -> str:
        return ""

    def natural(self, column: Native) -> Arrival:
        name, base = column.name, column.base
        if base in _NUMBERS:
            return as_it_is(name, _NUMBERS[base], _text)
        if base in ("varchar", "char"):
            return by_text(name, "VARCHAR", unchanged)
        if base == "decimal":
            return decimal(name, column.numbers[0], column.numbers[1], _text)
        if base == "date":
            return by_text(name, "DATE", _text)
        if base == "time":
            return by_text(name, "TIME", _text)
        if base.startswith("timestamp"):
            return _moment(column)
        if base == "uuid":
            return by_text(name, "UUID", _text)
        if base == "varbinary":
            return by_hex(name, lambda sql: f"to_hex({sql})")
        if base == "json":
            return by_text(name, "VARCHAR", lambda sql: f"json_format({sql})")
        if base in _NESTED:
            note = f"{base} arrives as JSON"
            return by_text(name, "VARCHAR", lambda sql: f"json_format(CAST({sql} AS json))", note)
        return other(name, column.native, _text)

    def constant(self, column: Native, value: str) -> str:
        if column.base in _NUMBERS:
            return str(int(value))
        zone = " UTC" if "zone" in column.base else ""
        return f"CAST({self.text_constant(value.removesuffix('+00') + zone)} AS {column.native})"

    def bytewise(self, column: Native) -> Expression | None:
        return _text if column.base in ("varchar", "uuid") else None


def _text(sql: str) -> str:
    return f"CAST({sql} AS varchar)"


def _moment(column: Native) -> Arrival:
    digits = column.numbers[0] if column.numbers else 3
    if "zone" not in column.base:
        return moment(column.name, digits, _text, zoned=False)

    def in_utc(sql: str) -> str:
        return f"{_text(f'CAST(at_timezone({sql}, {_UTC}) AS timestamp({digits}))')} || '+00'"

    return moment(column.name, digits, in_utc, zoned=True, offset=True)


class Trino(Warehouse):
    """Trino 400 and later, and Starburst."""

    key = "trino"
    title = "Trino"
    summary = "Tables, views and queries of a catalogue of Trino, whole or by a cursor column."
    tested_with = "its protocol, spoken by a server of the tests' own; no Trino was at hand"
    Params: ClassVar[type[TrinoParams]] = TrinoParams
    params: TrinoParams
    server = "Trino"
    dialect = TrinoSQL()
    schemes = ("trino", "presto")
    services = ("starburst.io", "galaxy.starburst.io")

    def opened(self, address: str, seconds: float) -> Session:
        return TrinoSession(self.params, seconds)

    def version(self, session: Session) -> str:
        return f"Trino {session.one('SELECT version()', 'the version')}"


@dataclass(frozen=True)
class _Page:
    """A piece of an answer: where the next is, and the columns' names and types once they are known."""

    body: str
    following: str | None
    names: list[str]
    types: list[str]


def _named(pages: Iterator[_Page]) -> _Page:
    """The first page that knows its columns."""
    page = next((each for each in pages if each.names), None)
    if page is None:
        raise _Refused("NO_COLUMNS", "it answered without columns")
    return page


class _Refused(Exception):
    """The server's own words, and the name that it has for such an error."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(said)
        self.name, self.said = name, said


class TrinoSession(Session):
    """One statement is a request, and one for each page of its answer."""

    def __init__(self, params: TrinoParams, seconds: float) -> None:
        self._params, self._seconds = params, seconds
        self._http = Http(ANYWHERE, idle=seconds)
        self._open = ExitStack()
        self._running: str | None = None
        self._duck = self._open.enter_context(connector_instance(memory=_MEMORY, threads=1))
        self._headers = {
            "X-Trino-User": params.user,
            "X-Trino-Source": "manifold",
            "X-Trino-Catalog": params.database,
            "X-Trino-Time-Zone": "UTC",
            "X-Trino-Session": f"query_max_run_time={int(seconds)}s",
        }
        if params.password:
            signed = b64encode(f"{params.user}:{params.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {signed}"

    def rows(self, sql: str) -> pa.RecordBatchReader:
        pages = self._pages(sql)
        first = _named(pages)
        table = self._table(first, first.names)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from table.to_batches()
            for each in pages:
                yield from self._table(each, first.names).to_batches()

        return pa.RecordBatchReader.from_batches(table.schema, batches())

    def columns(self, query: str, what: str) -> list[Native]:
        with self.told(what):
            page = _named(self._pages(f"SELECT * FROM (\n{query}\n) WHERE 1 = 0"))
        return [Native(name, type_) for name, type_ in zip(page.names, page.types, strict=True)]

    def _pages(self, sql: str) -> Iterator[_Page]:
        self._end_running()
        self._http.deadline = time.monotonic() + self._seconds + GRACE_SECONDS
        page = self._page(f"{self._params.url}v1/statement", sql.encode())
        while following := page.following:
            # Where it sends on to is told who we are.
            if origin(following) != origin(self._params.url):
                said = f"it sends on to {following[:200]}, which is another server: mend its address there"
                raise _Refused("ELSEWHERE", said)
            self._running = following
            yield page
            page = self._page(following)
        self._running = None
        yield page

    def _end_running(self) -> None:
        """A query that is not read on would go on there until the server itself misses whoever asked."""
        running, self._running = self._running, None
        if running:
            self._http.deadline = time.monotonic() + _END_SECONDS
            with suppress(ManifoldError), self._http.delete(running, self._headers):
                pass

    def _page(self, url: str, statement: bytes | None = None) -> _Page:
        end = time.monotonic() + min(self._seconds, _BUSY_SECONDS)
        while True:
            asked = (
                self._http.get(url, None, self._headers)
                if statement is None
                else self._http.post_text(url, statement, self._headers)
            )
            with asked as answer:
                read = answer.beginning(_LARGEST + 1)
            if len(read) > _LARGEST:
                raise _Refused("TOO_LARGE", f"a page of more than {_LARGEST:,} bytes")
            body = read.decode(errors="replace")
            if answer.status == 200:
                return self._read(body)
            if answer.status not in _LATER or time.monotonic() > end:
                raise _Refused(f"HTTP_{answer.status}", f"{answer.status} {body[:500]}")
            time.sleep(0.1)

    def _read(self, body: str) -> _Page:
        row = self._duck.execute(
            "SELECT j->>'$.nextUri', j->>'$.error.errorName', j->>'$.error.message', j->>'$.columns[*].name', "
            "j->>'$.columns[*].type' FROM (SELECT CAST($1 AS JSON) AS j)",
            [body],
        ).fetchone()
        assert row is not None
        following, error, said, names, types = row
        if error or said:
            raise _Refused(str(error), str(said))
        return _Page(body, following, names or [], types or [])

    def _table(self, page: _Page, names: Sequence[str]) -> pa.Table:
        """The rows of a page; not every page says the names again."""
        items = ", ".join(f"r[{place + 1}] AS c{place}" for place in range(len(names)))
        return self._duck.execute(
            f"SELECT {items} FROM (SELECT unnest(from_json(coalesce(CAST($1 AS JSON)->'$.data', '[]'), "
            "'[[\"VARCHAR\"]]')) AS r)",
            [page.body],
        ).to_arrow_table()

    def explained(self, error: Exception, what: str) -> ManifoldError | None:
        about = self._params.about
        if isinstance(error, _Refused):
            return faults.refused(_CODES.get(error.name, "statement_refused"), error.said, what, about)
        if isinstance(error, duckdb.OutOfMemoryException):
            said = f"a page does not fit into {_MEMORY >> 20} MB when it is taken apart"
            return faults.refused("answer_too_large", said, what, about)
        if isinstance(error, duckdb.Error):
            return faults.refused("connection_lost", "what it answered is no answer of Trino's", what, about)
        return None

    def close(self) -> None:
        self._end_running()
        self._open.close()
        self._http.close()
