"""A connector of messages: it tests, discovers, plans and reads; the subclass says how its broker is asked."""

from __future__ import annotations

import os
import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import ClassVar, Protocol

import duckdb
import pyarrow as pa

from dataplane import statements
from dataplane.connectors.base import Capabilities, Connector, Stage
from dataplane.connectors.databases.file import chosen_columns
from dataplane.connectors.databases.stages import staged
from dataplane.connectors.reading import Part, Previewed, Reading
from dataplane.connectors.rest.spool import Batch as Lines
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.streams.extents import Extent, Written, gap_of, moved, planned, said
from dataplane.connectors.streams.messages import MOST_BYTES, VALUE, Batch, Layout, objects
from dataplane.connectors.streams.params import MessageParams
from dataplane.connectors.streams.taking import Taking
from dataplane.connectors.windows import FileRef, Mark, Planned, ReadMode, Window
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.failures import duckdb_errors
from dataplane.sampling import SHOWN, first_rows

_SAMPLE = 1_000
_PREVIEW_MEMORY = 256 << 20
# A source may hold thousands of topics; looking into each takes a moment.
_MOST_STREAMS = 500
_OF_ONE_STREAM = ("permission_denied", "sql")


class Broker(Protocol):
    """A session with whatever holds the messages, once its steps have opened it. Each call raises ManifoldError."""

    def steps(self) -> Sequence[tuple[str, Callable[[], str]]]:
        """What opens it, each under the name that a test has for it."""

    def close(self) -> None:
        """End it, however far it was opened."""

    def names(self) -> list[str]:
        """The streams that may be read."""

    def extents(self, stream: str) -> list[Extent]:
        """What each partition holds now; ConfigurationError `stream_missing` where there is no such stream."""

    def since(self, stream: str, extents: Sequence[Extent], at: datetime) -> list[Extent]:
        """The same as if nothing before the first message of a moment, or later, were there.

        Where a person waits and counting them takes long, there are at least so many.
        """

    def messages(self, stream: str, spans: dict[str, tuple[int, int]], most: int) -> Iterator[Batch]:
        """The messages of each partition's (lower, upper], `most` in all, those of one partition in their order.

        It ends when none is left; offsets in between may have no message.
        """

    def follow(self, stream: str, read: dict[str, int]) -> None:
        """Tell the broker, where it keeps such a thing, up to which offsets all is loaded. Failures do not matter."""


class StreamConnector(Connector):
    """Messages are read up to offsets that windows remember; what the broker believes was read decides nothing."""

    family = "stream"
    capabilities = Capabilities(full=True, incremental=True, streaming=True, schema_inference=True, resumable=True)
    ordered = True
    fills_missing = True
    samples = True
    called: ClassVar[str] = "stream"
    """What a stream is called where it comes from."""
    place: ClassVar[tuple[str, str]] = ("''", "_offset")
    """SQL over these: what a message that is set aside is called, and its number."""
    written: ClassVar[Written] = Written()
    params: MessageParams

    @abstractmethod
    def broker(self, *, hurried: bool) -> Broker:
        """A session that is not opened yet; `hurried` where a person waits."""

    @contextmanager
    def session(self, *, hurried: bool = False) -> Iterator[Broker]:
        """A session, opened."""
        with closing(self.broker(hurried=hurried)) as broker:
            for _, step in broker.steps():
                step()
            yield broker

    def test(self) -> Iterator[Stage]:
        with closing(self.broker(hurried=True)) as broker:
            yield from staged([*broker.steps(), *self.questions(broker)])

    def questions(self, broker: Broker) -> Sequence[tuple[str, Callable[[], str]]]:
        """What a test asks of an open session."""
        return [("list", partial(self._listed, broker)), ("read a row", partial(self._tasted, broker))]

    def discover(self) -> list[StreamInfo]:
        with self.session(hurried=True) as broker:
            return self._found(broker, broker.names()[:_MOST_STREAMS])

    def discover_named(self, names: Collection[str]) -> list[StreamInfo]:
        with self.session(hurried=True) as broker:
            return self._found(broker, [each for each in broker.names() if each in names])

    def first_at(self, broker: Broker, stream: str, spans: dict[str, tuple[int, int]]) -> datetime | None:
        """When the oldest message of these spans was sent; None where they have none. Raises ManifoldError."""
        times: list[datetime] = []
        for partition, span in spans.items():
            for batch in broker.messages(stream, {partition: span}, 1):
                times += [at for at in batch.beside["_timestamp"].to_pylist() if at is not None]
        return min(times, default=None)

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        with self.session(hurried=self.hurried) as broker:
            extents = broker.extents(stream.name)
            since = self.params.since if mode == "incremental" and not (mark.spans or mark.seed) else None
            extents = broker.since(stream.name, extents, since) if since else extents
        if mode == "full_refresh":
            rows = sum(each.waiting(each.before, each.given_before) for each in extents)
            return Planned(Window("full"), f"All of {stream.name} is read.", rows)
        limits, newest = self.params.limits, self.params.begin == "newest" and not mark.seed
        go_on = self.params.goes_on
        return planned(stream.name, extents, mark.spans, self.written, limits, go_on=go_on, newest=newest, since=since)

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...] | None:
        try:
            with self.session() as broker:
                return self._sampled(broker, stream.name)[0]
        except (DataError, TransientError):
            # A sample is no reason not to read: what does not fit is set aside then.
            return None

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        if stream.row_filter:
            statements.check_expression(stream.row_filter)
        with self.session() as broker:
            columns = self._columns(stream, broker)
            chosen, _ = chosen_columns(replace(stream, columns=columns), columns)
            reading = Reading("", chosen)
            taking = self._taking(broker, stream, window, reading)
            if window.kind == "offsets":
                broker.follow(stream.name, {each: lower for each, (lower, _) in taking.spans.items()})
            layout = Layout(stream, columns, self.beside, self.params.format, self.place)
            reading.parts = self._parts(broker, layout, taking, reading, connection)
            yield reading

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        return self.previewed(stream, limit).table

    def previewed(self, stream: StreamConfig, limit: int = 50) -> Previewed:
        with self.session(hurried=True) as broker, connector_instance(memory=_PREVIEW_MEMORY, threads=2) as duck:
            columns = self._columns(stream, broker)
            chosen_columns(replace(stream, columns=columns), columns)
            if stream.row_filter:
                statements.check_expression(stream.row_filter)
            layout = Layout(stream, columns, self.beside, self.params.format, self.place)
            batches = chain(self._latest(broker, stream.name, limit), [self._nothing()])
            parts = (layout.part(duck, each) for each in batches)
            with duckdb_errors():
                found = [first_rows(duck, each.careful or each, limit) for each in parts]
        return Previewed(
            pa.concat_tables([each.table for each in found]).slice(0, limit),
            sum(each.rejected for each in found),
            tuple(chain.from_iterable(each.samples for each in found))[:SHOWN],
        )

    def _listed(self, broker: Broker) -> str:
        names = broker.names()
        for each in names[:1]:
            broker.extents(each)
        if not names:
            return f"There is no {self.called} yet."
        return f"{len(names)} {self.called}{'' if len(names) == 1 else 's'}: {', '.join(names[:5])}."

    def _tasted(self, broker: Broker) -> str:
        for name in broker.names():
            for extent in broker.extents(name):
                span = {extent.partition: (extent.before, extent.newest)}
                for batch in broker.messages(name, span, 1):
                    where = f"{name}, partition {extent.partition}" if extent.partition else name
                    return f"The oldest message of {where} is {self.written.text(batch.last[extent.partition])}."
        return f"No {self.called} has a message yet."

    def _taking(self, broker: Broker, stream: StreamConfig, window: Window, reading: Reading) -> Taking:
        """What is to be taken of each partition; messages that are gone since the plan are an error or a warning."""
        extents = {each.partition: each for each in broker.extents(stream.name)}
        if window.kind == "full":
            return Taking.whole(extents.values(), self.written)
        gaps, spans = [], []
        for span in window.spans:
            if span.lower == span.upper:
                spans.append(span)
                continue
            extent = extents.get(span.partition) or Extent(span.partition, -1, -1)
            gap = gap_of(extent, self.written.number(span.lower), span.count_lower, span.made)
            # Where nothing was read before, it begins with what is there when it is read.
            begins = span.begins and window.limits is not None
            gaps += [gap] if gap and not begins else []
            spans.append(moved(span, extent, self.written) if gap else span)
        reading.warnings += said(stream.name, gaps, self.written, go_on=self.params.goes_on)
        gone = sum(each.messages for each in gaps)
        return Taking(replace(window, spans=tuple(spans), gone=max(window.gone, gone)), self.written)

    def _parts(
        self,
        broker: Broker,
        layout: Layout,
        taking: Taking,
        reading: Reading,
        connection: duckdb.DuckDBPyConnection,
    ) -> Iterator[Part]:
        """Batch after batch until all is taken or a limit is reached; then the window as it was read is settled."""
        began = time.monotonic()
        for batch in broker.messages(layout.stream.name, taking.spans, taking.most):
            yield layout.part(connection, batch)
            taking.took(batch)
            if taking.full(time.monotonic() - began):
                break
        else:
            taking.whole_read = True
            if not taking.messages:
                yield layout.part(connection, self._nothing())
        # A stream that is read whole remembers no offsets.
        reading.settled = taking.settled() if taking.window.kind == "offsets" else None
        reading.warnings += taking.differs(layout.stream.name, go_on=self.params.goes_on)

    def _columns(self, stream: StreamConfig, broker: Broker) -> tuple[Column, ...]:
        """The declared columns; of a stream that declares none, those that its newest messages have."""
        return stream.columns or self._sampled(broker, stream.name)[0]

    def _found(self, broker: Broker, names: Sequence[str]) -> list[StreamInfo]:
        found = []
        for name in names:
            try:
                columns, rows, warnings = self._sampled(broker, name)
            except (ConfigurationError, DataError) as error:
                # Where the server itself cannot be asked, each of the others would wait for it, too.
                if isinstance(error, ConfigurationError) and error.code not in _OF_ONE_STREAM:
                    raise
                columns, rows, warnings = (), None, (error.message,)
            found.append(StreamInfo(name, columns, rows=rows, warnings=warnings))
        return found

    def _sampled(self, broker: Broker, stream: str) -> tuple[tuple[Column, ...], int | None, tuple[str, ...]]:
        """The columns, how many messages there are, and what is to be told of them."""
        extents = broker.extents(stream)
        rows = sum(each.waiting(each.before, each.given_before) for each in extents)
        if self.params.format == "raw":
            return (*self.beside, Column(VALUE, "VARCHAR", native="message")), rows, ()
        values: list[bytes] = []
        size = 0
        for batch in self._latest(broker, stream, _SAMPLE):
            values += [each for each in batch.values if each]
            size += batch.bytes
            if size >= MOST_BYTES:
                break
        found, keys = _keys(values)
        warnings = []
        if not values:
            warnings.append(
                f"{stream} has no message now, so nothing tells its columns. Runs find them once it has one."
            )
        elif found < len(values):
            many = f"{len(values) - found} of {len(values)} messages of {stream}"
            warnings.append(f"{many} are no JSON objects. They are set aside, or read as raw messages.")
        own = {each.name for each in self.beside}
        if hidden := [each.name for each in keys if each.name in own]:
            warnings.append(f"The key {', '.join(hidden)} of {stream} cannot be read: it is what stands beside.")
        return (*self.beside, *(each for each in keys if each.name not in own)), rows, tuple(warnings)

    def _latest(self, broker: Broker, stream: str, most: int) -> Iterator[Batch]:
        """About so many of the newest messages."""
        return broker.messages(stream, self._newest(broker, stream, most), most)

    def _newest(self, broker: Broker, stream: str, most: int) -> dict[str, tuple[int, int]]:
        """Spans with about so many of the newest messages; where offsets count nothing, of the oldest."""
        extents = broker.extents(stream)
        share = max(1, most // max(1, len(extents)))
        return {
            each.partition: (max(each.before, each.newest - share) if each.given is None else each.before, each.newest)
            for each in extents
        }

    def _nothing(self) -> Batch:
        empty = duckdb.sql(
            "SELECT " + ", ".join(f"CAST(NULL AS {each.type}) AS {each.name}" for each in self.beside) + " WHERE false"
        ).to_arrow_table()
        return Batch({name: empty[name].combine_chunks() for name in empty.column_names}, [], {}, {})


def _keys(values: Sequence[bytes]) -> tuple[int, tuple[Column, ...]]:
    """How many of these messages are JSON objects, and the columns that those have."""
    with tempfile.TemporaryDirectory(prefix="manifold-sample-") as folder, connector_instance() as duck:
        found = objects(duck, values)
        path = os.path.join(folder, "sample.ndjson")
        with open(path, "xb") as file:
            size = sum(file.write(each.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n") for each in found)
        return len(found), Lines("sample", path, size, len(found)).columns(duck) if found else ()


def no_stream(name: str, what: str) -> ConfigurationError:
    """The error for a stream that is not there; `what` its broker calls it."""
    return ConfigurationError(
        f"There is no {what} {name}. Correct its name, or have it made.",
        code="stream_missing",
        evidence={"stream": name},
    )
