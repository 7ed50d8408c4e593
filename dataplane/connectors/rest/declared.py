"""An API whose streams are declared: tests, discovers, plans and reads them, however their pages are asked for."""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from typing import ClassVar, Generic, Protocol, TypeVar

import duckdb
import pyarrow as pa

from dataplane import statements
from dataplane.connectors.base import Connector, Stage
from dataplane.connectors.databases import cursors
from dataplane.connectors.databases.file import chosen_columns
from dataplane.connectors.databases.stages import staged
from dataplane.connectors.reading import Part, Previewed, Reading
from dataplane.connectors.rest.client import Client
from dataplane.connectors.rest.paging import since
from dataplane.connectors.rest.params import Declared, Session
from dataplane.connectors.rest.records import Page
from dataplane.connectors.rest.spool import BATCH, batches
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import FileRef, Mark, Planned, ReadMode, Window
from dataplane.engine import connector_instance, spill_folder
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.failures import duckdb_errors
from dataplane.http import origin, shown
from dataplane.net import resolve_public
from dataplane.relations import identifier
from dataplane.sampling import first_rows

_SAMPLE_PAGES = 3
_SAMPLE_RECORDS = 20_000
_LOOKED_SECONDS = 20.0
_PREVIEW_MEMORY = 512 << 20
_OF_ONE_STREAM = (
    "http_status", "json_malformed", "records_missing", "records_malformed", "pages_repeat", "answer_too_large",
    "query_refused", "pages_unknown", "next_elsewhere", "redirect_unreadable",
)  # fmt: skip


D = TypeVar("D", bound=Declared)


class Paging(Protocol):
    """The pages of one stream, from the first to the last."""

    def __iter__(self) -> Iterator[Page]: ...

    def enter(self) -> None:
        """Ask for the first page as somebody who wants to be let in. Raises ManifoldError."""


class DeclaredApi(Connector, Generic[D]):
    """The walls of a connector to an API. Each says what is declared, and how its pages are asked for."""

    family = "api"
    samples = True
    params: Session
    remedy: ClassVar[str]
    """What to do about a stream that the source does not declare any more."""

    @abstractmethod
    def declared(self) -> dict[str, D]:
        """The streams by name."""

    @abstractmethod
    def pages(self, client: Client, stream: D, duck: duckdb.DuckDBPyConnection, begin: str | None = None) -> Paging:
        """The pages of a stream. begin: where a cursor begins, as the API writes it; None: all."""

    @abstractmethod
    def url(self, stream: D) -> str:
        """The address of a stream."""

    def test(self) -> Iterator[Stage]:
        endpoint = next(iter(self.declared().values()))
        url = self.url(endpoint)
        with self._session(hurried=True) as (client, duck, _):
            pages = self.pages(client, endpoint, duck)

            def resolve() -> str:
                _, host, port = origin(url)
                return f"{host} is {', '.join(resolve_public(host, port, self.networks))}."

            def connect() -> str:
                return f"{shown(url)} answers ({client.reach(url)})."

            def authenticate() -> str:
                pages.enter()
                told = "No sign-in is asked for" if self.params.auth == "none" else "The sign-in is accepted"
                return f"{told}; {client.limits}." if client.limits else f"{told}."

            def read() -> str:
                page = next(iter(pages))
                return f"{page.count} records on the first page of {endpoint.name}."

            def list_() -> str:
                return f"Declared: {', '.join(self.declared())}."

            yield from staged(
                (
                    ("resolve", resolve),
                    ("connect", connect),
                    ("authenticate", authenticate),
                    ("list", list_),
                    ("read a row", read),
                )
            )

    def discover(self) -> list[StreamInfo]:
        return self.discover_named(self.declared())

    def discover_named(self, names: Collection[str]) -> list[StreamInfo]:
        """The streams of these names; the others are not asked for."""
        with self._session(hurried=True) as (client, duck, _):
            found = []
            for each in (each for name, each in self.declared().items() if name in names):
                try:
                    found.append(self._info(client, duck, each))
                except (DataError, ConfigurationError) as error:
                    if error.code not in _OF_ONE_STREAM:
                        raise
                    # One path that is wrong must not hide the streams beside it.
                    found.append(StreamInfo(each.name, (), warnings=(error.message,)))
            return found

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        if mode == "full_refresh":
            self._endpoint(stream)
            return Planned(Window("full"), f"All of {stream.name} is read.")
        with self._session(hurried=self.hurried) as (client, duck, folder):
            columns = self._columns(stream, client, duck)
            cursor = cursors.cursor_of(stream, columns)
            begin = cursors.start(duck, cursor, mark, stream.lookback) if mark.upper is not None else None
            # The records themselves say what is new: no clock of ours or of the server's does.
            pages = self._pages(client, stream, duck, since(begin, cursor.type, self._endpoint(stream)))
            if self.hurried:
                pages = _in_time(pages, stream.name)
            batch = next(batches(pages, folder, stream.name, largest=None))
            rows = batch.part(replace(stream, select=()), columns, 0).query
            with duckdb_errors():
                planned = cursors.planned(duck, rows, stream, cursor, mark)
            found = batch.columns(duck, sample=_SAMPLE_RECORDS) if batch.records else None
            planned = replace(planned, columns=found)
        if planned.window is None and mark.upper is not None:
            return replace(planned, reason=f"{stream.name} has nothing after {stream.cursor} {mark.upper}.")
        return planned

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...] | None:
        declared = {each.name for each in stream.columns}
        try:
            with self._session(hurried=True) as (client, duck, _):
                found = self._sampled(client, duck, self._endpoint(stream), pages=1)
                if declared.issuperset(each.name for each in found):
                    return found
                # What is new gets the type that further records have, too.
                return self._sampled(client, duck, self._endpoint(stream))
        except ManifoldError:
            # What is wrong there is told by the read itself, which waits for the server, too.
            return None

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        with (
            tempfile.TemporaryDirectory(dir=spill_folder(connection), prefix="manifold-api-") as folder,
            closing(self._client()) as client,
        ):
            columns = self._columns(stream, client, connection)
            chosen, _ = chosen_columns(stream, columns)
            if not window.by_cursor:
                reading = Reading("", chosen)
                pages = self._pages(client, stream, connection)
                reading.parts = _parts(pages, stream, columns, folder, client=client, warnings=reading.warnings)
                yield reading
                return
            cursor = cursors.cursor_of(stream, columns)
            begin = window.lower if window.reread_from is None else window.reread_from
            pages = self._pages(client, stream, connection, since(begin, cursor.type, self._endpoint(stream)))
            # What says which rows are new need not be among the columns that are chosen.
            rows = _whole(pages, replace(stream, select=()), columns, folder).query
            items = ", ".join(identifier(each.name) for each in chosen)
            query = f"SELECT {items} FROM ({rows}) WHERE {cursors.bounds(cursor, window)}"
            yield Reading(query, chosen, warnings=client.told())

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        return self.previewed(stream, limit).table

    def previewed(self, stream: StreamConfig, limit: int = 50) -> Previewed:
        with self._session(hurried=True) as (client, duck, folder):
            columns = self._columns(stream, client, duck)
            chosen_columns(stream, columns)
            if not columns:
                # No record tells one, so there is no row either.
                return Previewed(pa.table({}))
            part = _whole(islice(self._pages(client, stream, duck), 1), stream, columns, folder)
            with duckdb_errors():
                return first_rows(duck, part.careful or part, limit)

    def _client(self, *, hurried: bool = False) -> Client:
        return Client(self.params, self.networks, hurried=hurried, grant=self.grant)

    @contextmanager
    def _session(self, *, hurried: bool = False) -> Iterator[tuple[Client, duckdb.DuckDBPyConnection, str]]:
        """A client, an instance of DuckDB, and a folder for what is brought here."""
        with (
            connector_instance(memory=_PREVIEW_MEMORY, threads=2) as duck,
            tempfile.TemporaryDirectory(prefix="manifold-api-") as folder,
            closing(self._client(hurried=hurried)) as client,
        ):
            yield client, duck, folder

    def _endpoint(self, stream: StreamConfig) -> D:
        found = self.declared().get(stream.name)
        if found is None:
            raise ConfigurationError(
                f"The source declares no stream {stream.name} any more. {self.remedy}",
                code="stream_missing",
                evidence={"stream": stream.name},
            )
        return found

    def _pages(
        self, client: Client, stream: StreamConfig, duck: duckdb.DuckDBPyConnection, begin: str | None = None
    ) -> Iterator[Page]:
        if stream.row_filter:
            statements.check_expression(stream.row_filter)
        return iter(self.pages(client, self._endpoint(stream), duck, begin))

    def _columns(self, stream: StreamConfig, client: Client, duck: duckdb.DuckDBPyConnection) -> tuple[Column, ...]:
        """The declared columns; of a stream that declares none, those that a sample has."""
        return stream.columns or self._sampled(client, duck, self._endpoint(stream))

    def _sampled(
        self, client: Client, duck: duckdb.DuckDBPyConnection, endpoint: D, pages: int = _SAMPLE_PAGES
    ) -> tuple[Column, ...]:
        with tempfile.TemporaryDirectory(prefix="manifold-api-") as folder:
            first = islice(self.pages(client, endpoint, duck), pages)
            batch = next(batches(first, folder, endpoint.name, largest=None))
            return batch.columns(duck) if batch.records else ()

    def _info(self, client: Client, duck: duckdb.DuckDBPyConnection, endpoint: D) -> StreamInfo:
        columns = self._sampled(client, duck, endpoint)
        key = tuple((endpoint.key or "").split("+")) if endpoint.key else ()
        lacking = [name for name in key if name not in {each.name for each in columns}]
        warnings = [] if columns else [f"{endpoint.name} has no record now, so nothing tells its columns."]
        if columns and lacking:
            warnings.append(f"The key of {endpoint.name} names {', '.join(lacking)}, which its records do not have.")
        return StreamInfo(
            endpoint.name,
            columns,
            title=endpoint.title,
            primary_key=() if lacking else key,
            cursor_candidates=tuple(each.name for each in columns if cursors.can_be_cursor(each.type)),
            warnings=tuple(warnings),
        )


def _in_time(pages: Iterator[Page], stream: str) -> Iterator[Page]:
    """Pages that somebody waits for. Raises TransientError when they take too long."""
    ends = time.monotonic() + _LOOKED_SECONDS
    for page in pages:
        if time.monotonic() > ends:
            raise TransientError(
                f"To look through {stream} takes more than {_LOOKED_SECONDS:.0f} seconds, so what is new of it cannot "
                "be told here. Start the run, which takes the time that it needs.",
                code="sample_timeout",
                evidence={"stream": stream},
            )
        yield page


def _whole(pages: Iterable[Page], stream: StreamConfig, columns: tuple[Column, ...], folder: str) -> Part:
    """All of the pages as one part."""
    return next(batches(pages, folder, stream.name, largest=None)).part(stream, columns, 0)


def _parts(
    pages: Iterable[Page],
    stream: StreamConfig,
    columns: tuple[Column, ...],
    folder: str,
    *,
    client: Client,
    warnings: list[str],
) -> Iterator[Part]:
    """The pages as parts, fetched while they are asked for; and what is to be told of them."""
    declared, told = {each.name for each in columns}, set[str]()
    for number, batch in enumerate(batches(pages, folder, stream.name, largest=BATCH)):
        if extra := sorted(batch.keys - declared - told):
            told.update(extra)
            warnings.append(f"{batch.name} has keys that the stream does not declare: {', '.join(extra)}.")
        yield batch.part(stream, columns, number)
    warnings += client.told()
