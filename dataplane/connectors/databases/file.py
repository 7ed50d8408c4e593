"""A database that is one file: attached read-only, read by DuckDB in the types that a stream declares."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from dataplane.connectors.base import Capabilities, Connector, Finding, Stage
from dataplane.connectors.databases import cursors
from dataplane.connectors.databases.declared import chosen, cursor_changed, no_type
from dataplane.connectors.databases.server import in_time, patience
from dataplane.connectors.databases.stages import staged
from dataplane.connectors.files.single import allowed_file
from dataplane.connectors.reading import Part, Reading
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import FileRef, Mark, Planned, ReadMode, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.failures import duckdb_errors
from dataplane.patience import interrupted_after, within
from dataplane.relations import identifier
from dataplane.statements import check_expression
from dataplane.syntax import StatementError

CATALOG = "source"
_PREVIEW_MEMORY = 512 << 20
_GRACE_SECONDS = 1.0
_TYPE = re.compile(r"[A-Z][A-Z0-9_ ]*(\([0-9 ,]+\))?( WITH TIME ZONE)?(\[\d*\])*")

Answer = TypeVar("Answer")


class FileParams(BaseModel):
    """Where the database is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1,
        title="File",
        description="The database's file, below a folder that MANIFOLD_FILE_ROOTS allows.",
    )


@dataclass(frozen=True)
class Offered:
    """A table's rows as one SELECT, every column in its type.

    query fails at a value that does not fit, or brings only values that do. lenient: leaves out rows with a value that
    does not fit; `rejects` then lists them. None where every value fits by itself.
    """

    query: str
    columns: tuple[Column, ...]
    lenient: str | None = None
    rejects: str | None = None
    warnings: tuple[str, ...] = ()


class DatabaseFile(Connector):
    """Base of connectors to a file that DuckDB attaches. A subclass attaches it and says what is in it."""

    family = "database"
    capabilities = Capabilities(
        full=True, incremental=True, schema_inference=True, parallel=True, resumable=True, writable=True
    )
    Params: ClassVar[type[FileParams]] = FileParams
    params: FileParams

    @abstractmethod
    def _attached(self, duck: duckdb.DuckDBPyConnection, path: str) -> AbstractContextManager[None]:
        """The file as the catalogue `source`, read-only, in a transaction that sees it as it is at one moment.

        Raises ManifoldError.
        """

    @abstractmethod
    def _tables(self, duck: duckdb.DuckDBPyConnection, path: str) -> list[StreamInfo]:
        """What can be read."""

    @abstractmethod
    def _offer(self, duck: duckdb.DuckDBPyConnection, path: str, stream: StreamConfig) -> Offered:
        """A stream as it will be read, before its filter. Raises ConfigurationError where it is not as declared."""

    @contextmanager
    def _opened(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        path = allowed_file(self.params.path, self.roots)
        with (
            connector_instance(extensions=self.extensions, memory=_PREVIEW_MEMORY, threads=2) as duck,
            interrupted_after(patience(self), duck, self._late()),
            duckdb_errors(),
            self._attached(duck, path),
        ):
            yield duck, path

    def _in_time(self, look: Callable[[], Answer]) -> Answer:
        """What a look at the file tells. Of what is computed inside SQLite no interrupt is heard: where somebody waits,
        it is left behind. Raises TransientError."""
        if not self.hurried:
            return look()
        try:
            return within(patience(self) + _GRACE_SECONDS, look, name=(self.key, self.params.path))
        except TransientError as error:
            if error.code != "answer_timeout":
                raise
            raise self._late() from None

    def _late(self) -> TransientError:
        return TransientError(
            f"Looking through {self.params.path} took longer than {patience(self):,.0f} seconds, so it was left. A run "
            "waits for six hours: start it, or have less looked through with a filter.",
            code="statement_timeout",
            evidence={"file": self.params.path},
        )

    def test(self) -> Iterator[Stage]:
        found: list[StreamInfo] = []

        def resolve() -> str:
            allowed_file(self.params.path, self.roots)
            return "The file exists, is below an allowed folder, and may be read."

        def list_() -> str:
            found.extend(self.discover())
            if not found:
                raise ConfigurationError(
                    f"{self.params.path} holds no table. Name another file, or fill it first.", code="nothing_to_read"
                )
            return f"{len(found)} {'table' if len(found) == 1 else 'tables'}"

        def read() -> str:
            self.preview(StreamConfig(found[0].name), 1)
            return found[0].name

        yield from staged((("resolve", resolve), ("list", list_), ("read a row", read)))

    def discover(self) -> list[StreamInfo]:
        with self._opened() as (duck, path):
            return self._tables(duck, path)

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...]:
        def look() -> tuple[Column, ...]:
            with self._opened() as (duck, path):
                return self._offer(duck, path, StreamConfig(stream.name, settings=stream.settings)).columns

        return self._in_time(look)

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        allowed_file(self.params.path, self.roots)
        return in_time(streams, lambda each: self._in_time(lambda: self._against(each)))

    def _against(self, stream: StreamConfig) -> list[Finding]:
        try:
            with self._opened() as (duck, path):
                columns = self._filtered(duck, path, stream).columns
                if stream.cursor:
                    cursors.cursor_of(stream, columns)
        except (ConfigurationError, DataError) as error:
            return [Finding(stream.name, error.code, error.message)]
        return []

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        return self._in_time(lambda: self._planned(stream, mode, mark))

    def _planned(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        with self._opened() as (duck, path):
            offered = self._filtered(duck, path, stream)
            rows = offered.lenient or offered.query
            if mode == "full_refresh":
                return Planned(Window("full"), f"All of {stream.name} is read.", None, None, offered.warnings)
            cursor = cursors.cursor_of(stream, offered.columns)
            found = cursors.planned(duck, rows, stream, cursor, mark)
            return replace(found, warnings=offered.warnings + found.warnings)

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        return self._in_time(lambda: self._counted(stream, window)) if window.by_cursor else None

    def _counted(self, stream: StreamConfig, window: Window) -> int:
        with self._opened() as (duck, path):
            offered = self._filtered(duck, path, stream)
            cursor = cursors.cursor_of(stream, offered.columns)
            return cursors.counted(duck, offered.lenient or offered.query, cursor, window, alone=True)

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        path = allowed_file(self.params.path, self.roots)
        with self._attached(connection, path):
            offered = self._filtered(connection, path, stream)
            columns, warnings = offered.columns, list(offered.warnings)
            if window.by_cursor:
                cursor = cursors.cursor_of(stream, columns)
                if window.column != stream.cursor:
                    raise cursor_changed(stream, window)
                query = f"SELECT * FROM ({offered.query}) WHERE {cursors.bounds(cursor, window)}"
                yield Reading(query, columns, warnings=warnings)
            elif offered.lenient is None:
                yield Reading(offered.query, columns, warnings=warnings)
            else:
                # What the fast query fails at ends its transaction, too.
                anew = ("ROLLBACK", "BEGIN TRANSACTION")
                careful = Part(offered.lenient, rejects=offered.rejects, prepare=anew)
                yield Reading("", columns, parts=[Part(offered.query, careful=careful)], warnings=warnings)

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        with self._opened() as (duck, path):
            offered = self._filtered(duck, path, stream)
            return duck.execute(f"SELECT * FROM ({offered.lenient or offered.query}) LIMIT {limit}").to_arrow_table()

    def _filtered(self, duck: duckdb.DuckDBPyConnection, path: str, stream: StreamConfig) -> Offered:
        """What is offered, with the stream's filter: an expression of DuckDB's over the columns as they arrive."""
        if stream.query:
            raise ConfigurationError(
                f"{self.title} has no queries of one's own. Read the table, and write the query in a sql step.",
                code="query_not_supported",
                evidence={"stream": stream.name},
            )
        # The filter and the cursor may name columns that are not chosen.
        offered = self._offer(duck, path, replace(stream, select=()) if stream.row_filter else stream)
        if not stream.row_filter:
            return offered
        condition = _checked(stream)
        names = {each.name: each for each in offered.columns}
        columns = tuple(names[each] for each in stream.select if each in names) if stream.select else offered.columns
        items = ", ".join(identifier(each.name) for each in columns)

        def kept(query: str | None) -> str | None:
            return query and f"SELECT {items} FROM ({query}) WHERE (\n{condition}\n)"

        query = kept(offered.query) or ""
        try:
            duck.execute(f"EXPLAIN {query}")
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            raise _wrong_filter(stream, str(error).partition("\n")[0], "sql") from None
        return replace(offered, query=query, lenient=kept(offered.lenient), columns=columns)


def chosen_columns(stream: StreamConfig, there: tuple[Column, ...]) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns to read, in the types that they are declared in, and a warning for new ones that are not read.

    Raises ConfigurationError for a column that is gone.
    """
    found, declared, warnings = chosen(stream, there)
    columns = tuple(replace(each, type=_type(each, declared.get(each.name, each.type))) for each in found)
    return columns, warnings


def _type(column: Column, declared: str) -> str:
    """The type that an operator declared, in DuckDB's spelling. Raises ConfigurationError for what is no type."""
    if declared == column.type:
        return declared
    wanted = " ".join(declared.upper().split())
    if not _TYPE.fullmatch(wanted):
        raise no_type(column.name, declared)
    return wanted


def gone(stream: StreamConfig) -> ConfigurationError:
    return ConfigurationError(
        f"There is no table {stream.name} any more. Discover the source again.",
        code="table_missing",
        evidence={"stream": stream.name},
    )


def _checked(stream: StreamConfig) -> str:
    text = stream.row_filter or ""
    try:
        check_expression(text)
    except StatementError as error:
        raise _wrong_filter(stream, error.message, error.code) from None
    return text


def _wrong_filter(stream: StreamConfig, said: str, code: str) -> ConfigurationError:
    return ConfigurationError(
        f"The filter of {stream.name} cannot be used: {said} Write one condition in DuckDB's SQL over its columns.",
        code=code,
        evidence={"stream": stream.name, "filter": stream.row_filter},
    )
