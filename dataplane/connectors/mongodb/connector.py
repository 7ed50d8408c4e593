"""The connector: tests, discovers, plans and reads the collections of one database, which it never changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import duckdb
import pyarrow as pa

from dataplane import net
from dataplane.connectors import recognising
from dataplane.connectors.base import Capabilities, Connector, Finding, Stage
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.databases import planning
from dataplane.connectors.databases.guards import unreadable_value
from dataplane.connectors.databases.server import ASK_SECONDS, PREVIEW_MEMORY, READ_SECONDS, in_time, patience
from dataplane.connectors.databases.stages import reachable, staged
from dataplane.connectors.mongodb import faults, reading, session
from dataplane.connectors.mongodb.params import MongoParams
from dataplane.connectors.mongodb.questions import Asking
from dataplane.connectors.mongodb.reading import Prepared
from dataplane.connectors.mongodb.sample import columns_of
from dataplane.connectors.reading import Part, Previewed, Reading
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import FileRef, Mark, Planned, ReadMode, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from dataplane.failures import duckdb_errors
from dataplane.sampling import first_rows

if TYPE_CHECKING:
    from pymongo.database import Database

    from dataplane.connectors.mongodb.session import Client

_SAMPLE = 500
_PATIENCE = 10.0
_PART_BYTES = 32 << 20
_NOT_LOOKED_AT = (
    "Its columns were not looked at: the database holds too many collections to look at in one go. They are found when "
    "it is chosen by name, else when it is read."
)
_SHOWN_REFUSALS = 3

Answer = TypeVar("Answer")


class MongoDB(Connector):
    """Collections and views of a database."""

    key = "mongodb"
    title = "MongoDB"
    family = "database"
    summary = "Collections of a MongoDB database, whole or by an id, a date or a number that grows."
    tested_with = "a server of the tests' own that speaks MongoDB's protocol; no MongoDB was at hand"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    samples = True
    Params: ClassVar[type[MongoParams]] = MongoParams
    params: MongoParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.mongodb(clue)

    def test(self) -> Iterator[Stage]:
        opened: list[Client] = []
        known: list[tuple[str, int]] = []

        def resolve() -> str:
            known.extend(session.servers(self.params))
            return ", ".join(address for host, port in known for address in net.resolve(host, port))

        def connect() -> str:
            failure: ManifoldError | None = None
            for host, port in known:
                try:
                    return f"{reachable(host, port, 'MongoDB')}:{port}"
                except ManifoldError as error:
                    failure = failure or error
            assert failure is not None
            raise failure

        def authenticate() -> str:
            opened.append(session.sign_in(self.params, known, ASK_SECONDS))
            version = self._asked(lambda: opened[0].admin.command("buildInfo")["version"], "its version")
            return f"MongoDB {version}, {'not encrypted' if self.params.tls == 'disable' else 'encrypted'}"

        def list_() -> str:
            count = len(self._named(opened[0]))
            return f"{count} collection{'' if count == 1 else 's'}"

        def read() -> str:
            name = next(iter(self._named(opened[0])))
            self._asked(opened[0][self.params.database][name].find_one, name)
            return name

        stages = (resolve, connect, authenticate, list_, read)
        names = ("resolve", "connect", "authenticate", "list", "read a row")
        try:
            yield from staged(zip(names, stages, strict=True))
        finally:
            for each in opened:
                each.close()

    def discover(self) -> list[StreamInfo]:
        return self._discovered(None, _PATIENCE)

    def discover_named(self, names: Collection[str]) -> list[StreamInfo]:
        return self._discovered(names, 6 * _PATIENCE)

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...]:
        with session.connected(self.params, ASK_SECONDS) as client:
            return self._sampled(client, stream.name)[0]

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        with session.connected(self.params, ASK_SECONDS) as client:
            there = self._named(client)
            read = [each for each in streams if each.cursor]
            return in_time(read, lambda each: self._findings(client, each, there.get(each.name)))

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        with self._prepared(stream, patience(self)) as (client, prepared):
            asking = Asking(prepared, client[self.params.database][stream.name])
            return self._asked(lambda: planning.planned(asking, mode, mark), stream.name)

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        with self._prepared(stream, patience(self)) as (client, prepared):
            asking = Asking(prepared, client[self.params.database][stream.name])
            return self._asked(lambda: asking.counted_alone(window), stream.name)

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        with self._prepared(stream, READ_SECONDS) as (client, prepared):
            if not window.by_cursor:
                found = Reading("", prepared.columns)
                found.parts = self._parts(client, prepared, connection)
                yield found
                return
            if window.kind == "cursor":
                self._caught_up(client, prepared, window)
            failures: list[ManifoldError] = []
            rows = self._streamed(client, prepared, window, failures)
            connection.register("__documents", pa.RecordBatchReader.from_batches(prepared.schema, rows))
            try:
                yield Reading(prepared.rows_or_none("__documents"), prepared.columns)
            except (duckdb.Error, ManifoldError) as error:
                # DuckDB knows only that the rows broke off; why, is known here.
                raise (failures[0] if failures else unreadable_value(stream.name, str(error)) or error) from error
            finally:
                rows.close()
                connection.unregister("__documents")

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        return self.previewed(stream, limit).table

    def previewed(self, stream: StreamConfig, limit: int = 50) -> Previewed:
        with (
            self._prepared(stream, ASK_SECONDS) as (client, prepared),
            connector_instance(memory=PREVIEW_MEMORY, threads=1) as duck,
            duckdb_errors(),
        ):
            documents = client[self.params.database][stream.name]
            found = self._asked(lambda: list(reading.batches(documents, prepared, None, -limit)), stream.name)
            duck.register("__documents", pa.Table.from_batches(found, prepared.schema))
            query, rejects = prepared.rows("__documents")
            return first_rows(duck, Part(query, rejects=rejects), limit)

    def _caught_up(self, client: Client, prepared: Prepared, window: Window) -> None:
        """A window that another server has planned loses no documents to a secondary that is behind.

        Raises TransientError.
        """
        stream = prepared.stream.name
        asking = Asking(prepared, client[self.params.database][stream])
        if not self._asked(lambda: client.is_primary or asking.reached(window), stream):
            raise TransientError(
                f"The only server that answers is a secondary, and its {stream} does not reach {window.column} "
                f"{window.upper} yet, up to which is to be read. If it stays so, have the server "
                "that takes writes answer, or name it in the source.",
                code="secondary_behind",
                evidence={"stream": stream, "upper": window.upper},
            )

    def _parts(self, client: Client, prepared: Prepared, connection: duckdb.DuckDBPyConnection) -> Iterator[Part]:
        """All documents, so many at a time as memory holds well."""
        documents = client[self.params.database][prepared.stream.name]
        waiting: list[pa.RecordBatch] = []
        number = 0
        with self._telling(prepared.stream.name):
            for batch in reading.batches(documents, prepared, None):
                waiting.append(batch)
                if sum(each.nbytes for each in waiting) >= _PART_BYTES:
                    yield self._part(waiting, prepared, connection, number)
                    waiting, number = [], number + 1
        if waiting:
            yield self._part(waiting, prepared, connection, number)

    @staticmethod
    def _part(
        found: list[pa.RecordBatch], prepared: Prepared, connection: duckdb.DuckDBPyConnection, number: int
    ) -> Part:
        name = f"__documents_{number}"
        connection.register(name, pa.Table.from_batches(found, prepared.schema))
        query, rejects = prepared.rows(name)
        return Part(query, rejects=rejects, release=lambda: _forget(connection, name))

    def _streamed(
        self, client: Client, prepared: Prepared, window: Window, failures: list[ManifoldError]
    ) -> Generator[pa.RecordBatch]:
        """The documents of a window as they come; one that does not fit ends it, as in every database."""
        documents = client[self.params.database][prepared.stream.name]
        try:
            with self._telling(prepared.stream.name):
                for batch in reading.batches(documents, prepared, window):
                    refusals = batch.column("__refusal").drop_null()
                    if len(refusals):
                        raise _unfit(prepared.stream.name, refusals.to_pylist())
                    yield batch
        except ManifoldError as error:
            failures.append(error)
            raise

    def _discovered(self, names: Collection[str] | None, patience: float) -> list[StreamInfo]:
        until = time.monotonic() + patience
        with session.connected(self.params, ASK_SECONDS) as client:
            there = {name: view for name, view in self._named(client).items() if names is None or name in names}
            found: list[StreamInfo] = []
            for name, view in there.items():
                if found and time.monotonic() > until:
                    found.append(StreamInfo(name, (), warnings=(_NOT_LOOKED_AT,)))
                else:
                    found.append(self._info(client, name, view))
            return found

    def _info(self, client: Client, name: str, view: bool) -> StreamInfo:
        try:
            columns, warnings = self._sampled(client, name)
        except DataError as error:
            # One collection that cannot be read must not hide the others.
            return StreamInfo(name, (), warnings=(error.message,))
        documents = client[self.params.database][name]
        cursors = [each.name for each in columns if reading.can_be_cursor(each)]
        return StreamInfo(
            name,
            columns,
            title="view" if view else "",
            primary_key=("_id",) if columns else (),
            cursor_candidates=tuple(sorted(cursors, key=lambda each: each == "_id")),
            rows=None if view else self._asked(documents.estimated_document_count, name),
            warnings=warnings if columns else (*warnings, f"{name} has no document now, so nothing tells its columns."),
        )

    def _named(self, client: Client) -> dict[str, bool]:
        """The collections by name, and whether each is a view."""
        database: Database[dict[str, Any]] = client[self.params.database]

        listed = self._asked(
            lambda: list(database.list_collections(authorizedCollections=True)),
            f"the collections of {self.params.database}",
        )
        found = {str(each["name"]): each.get("type") == "view" for each in listed}
        found = {name: found[name] for name in sorted(found) if not name.startswith("system.")}
        if not found:
            raise ConfigurationError(
                f"The database {self.params.database} has no collection that can be read. Correct the database, or "
                f"grant the role read on it to {self.params.user or 'a user'}.",
                code="nothing_to_read",
                evidence={"database": self.params.database, "user": self.params.user},
            )
        return found

    def _sampled(self, client: Client, name: str) -> tuple[tuple[Column, ...], tuple[str, ...]]:
        """The columns by the oldest and the newest documents; of a view, by its first.

        A limit below nought asks for one answer alone, which holds at most 16 MB.
        """
        documents = client[self.params.database].get_collection(name, codec_options=reading.exact())

        def ask() -> list[dict[str, Any]]:
            if self._named(client).get(name):
                return list(documents.find(limit=-_SAMPLE, batch_size=_SAMPLE))
            newest = documents.find(sort=[("_id", -1)], limit=-_SAMPLE, batch_size=_SAMPLE)
            return [*documents.find(sort=[("_id", 1)], limit=-_SAMPLE, batch_size=_SAMPLE), *newest]

        found = self._asked(ask, name)
        return columns_of(name, found) if found else ((), ())

    def _findings(self, client: Client, stream: StreamConfig, view: bool | None) -> list[Finding]:
        """What stands against a collection; where a run could not read it at all, that alone."""
        try:
            self._prepare(client, stream, view)
        except (ConfigurationError, DataError) as error:
            return [Finding(stream.name, error.code, error.message)]
        if view:
            return []
        documents = client[self.params.database][stream.name]
        keys = self._asked(lambda: [next(iter(each["key"])) for each in documents.list_indexes()], stream.name)
        if stream.cursor in keys:
            return []
        said = f"No index begins with {stream.cursor} of {stream.name}, so each look for new rows reads all of it."
        remedy = f"db.getCollection({stream.name!r}).createIndex({{{stream.cursor!r}: 1}})"
        return [Finding(stream.name, "cursor_unindexed", said, remedy)]

    @contextmanager
    def _prepared(self, stream: StreamConfig, seconds: float) -> Iterator[tuple[Client, Prepared]]:
        with session.connected(self.params, seconds) as client:
            yield client, self._prepare(client, stream, self._named(client).get(stream.name))

    def _prepare(self, client: Client, stream: StreamConfig, view: bool | None) -> Prepared:
        """The stream as it will be read; None as `view` where there is no collection of its name."""
        if view is None:
            raise ConfigurationError(
                f"{self.params.database} has no collection {stream.name} any more, or this user may not read it. "
                "Discover the source again.",
                code="table_missing",
                evidence={"stream": stream.name},
            )
        return reading.prepare(stream, lambda: self._sampled(client, stream.name)[0], ordered=not view)

    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        """The answer. Raises ManifoldError for what the driver raises."""
        with self._telling(what):
            return ask()

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            yield
        except (PyMongoError, BSONError) as error:
            raise faults.told(self.params, error, what) from None


def _forget(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.unregister(name)


def _unfit(stream: str, refusals: list[str]) -> DataError:
    return DataError(
        f"Documents of {stream} hold what their fields are not declared as: {'; '.join(refusals[:_SHOWN_REFUSALS])}. "
        "Declare such a field as JSON or VARCHAR to keep every value, or leave such documents out with a filter.",
        code="value",
        evidence={"stream": stream, "values": refusals[:20]},
    )
