"""A database behind a server: asked over a session of its driver's, read by DuckDB."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import duckdb

from dataplane import net
from dataplane.connectors import recognising
from dataplane.connectors.base import Connector, Finding, Stage
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.databases import planning
from dataplane.connectors.databases.guards import unreadable_value
from dataplane.connectors.databases.params import ServerParams
from dataplane.connectors.databases.reading import Prepared
from dataplane.connectors.databases.stages import reachable, staged
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import FileRef, Mark, Planned, ReadMode, Window
from dataplane.errors import ConfigurationError, DataError, ManifoldError

ASK_SECONDS = 20.0
"""Limit of a statement that somebody waits for."""
PREFLIGHT_SECONDS = 20.0
"""When no other stream is looked at, of many that somebody waits for."""
READ_SECONDS = 6 * 3600.0
"""Limit of a statement that reads for a run; the step's own timeout usually ends it earlier."""
PREVIEW_MEMORY = 256 * 2**20


def patience(connector: Connector) -> float:
    """Limit of a statement that plans or counts: a person may wait for it, too, at a dry run."""
    return ASK_SECONDS if connector.hurried else READ_SECONDS


def in_time(streams: Sequence[StreamConfig], look: Callable[[StreamConfig], list[Finding]]) -> list[Finding]:
    """What stands against each of these streams, as far as there is time to look."""
    ends = monotonic() + PREFLIGHT_SECONDS
    found: list[Finding] = []
    for each in streams:
        if monotonic() < ends:
            found += look(each)
        else:
            said = f"{each.name} was not looked at: the others took {PREFLIGHT_SECONDS:.0f} seconds. Try it by itself."
            found.append(Finding(each.name, "not_looked_at", said))
    return found


Answer = TypeVar("Answer")


class Session(Protocol):
    """A connection of a driver's."""

    def close(self) -> None:
        """Let go of it."""


class Questions(planning.Questions, Protocol):
    """What planning asks, and the count of a window."""

    def counted_alone(self, window: Window) -> int:
        """The rows that belong to a window alone, without those before its `lower`."""


Connection = TypeVar("Connection", bound=Session)
Ready = TypeVar("Ready", bound=Prepared[Any])


class DatabaseServer(Connector, Generic[Connection, Ready]):
    """Base of connectors to a server. A subclass knows its driver, its catalogue and how DuckDB reads from it."""

    family = "database"
    Params: ClassVar[type[ServerParams]]
    params: ServerParams
    server: ClassVar[str]
    """What should listen at the address, for the errors."""
    schemes: ClassVar[tuple[str, ...]]
    """What its addresses begin with."""
    services: ClassVar[tuple[str, ...]] = ()
    """The domains below which it is run for others."""
    unsure: ClassVar[float] = 0.0
    """A guess that is no surer says too little."""

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        port = cls.Params.model_fields["port"].default
        guess = recognising.database_server(
            clue, product=cls.title, schemes=cls.schemes, port=port, services=cls.services
        )
        return guess if guess and guess.confidence > cls.unsure else None

    @abstractmethod
    def _sign_in(self, address: str) -> Connection:
        """A session at this address. Raises ManifoldError."""

    @abstractmethod
    def _introduced(self, connection: Connection) -> str:
        """Version and encryption, and a warning about a user who may do too much."""

    @abstractmethod
    def _connected(self, seconds: float) -> AbstractContextManager[Connection]:
        """A read-only session, no statement of which lasts longer than `seconds`. Raises ManifoldError."""

    @abstractmethod
    def _catalogue(self, connection: Connection) -> list[StreamInfo]:
        """What can be read. Like all that follow, may raise the driver's errors."""

    @abstractmethod
    def _prepare(self, connection: Connection, stream: StreamConfig) -> Ready:
        """The stream as it would be read now. Raises ConfigurationError where it cannot be read as declared."""

    @abstractmethod
    def _run(self, connection: Connection, prepared: Ready, rows: int) -> None:
        """Ask for so many rows, and leave them."""

    @abstractmethod
    def _asking(self, connection: Connection, prepared: Ready) -> Questions: ...

    @abstractmethod
    def _findings(self, connection: Connection, stream: StreamConfig) -> list[Finding]:
        """What stands against reading a stream by its cursor."""

    @abstractmethod
    def _withheld(self, connection: Connection, stream: StreamConfig, names: Sequence[str]) -> list[str]:
        """Those of these columns, none of which the user sees, that the table has all the same."""

    @abstractmethod
    def _grant(self, connection: Connection, stream: StreamConfig) -> str:
        """The statement that lets the user read all of a table."""

    @abstractmethod
    def _nothing(self) -> ConfigurationError:
        """Why there may be nothing to read."""

    @abstractmethod
    def _asked(self, ask: Callable[[], Answer], what: str) -> Answer:
        """The answer. What the driver raises is raised in our words; `what` is what was asked about."""

    def _unreadable(self, stream: str, said: str) -> DataError | None:
        """The value that a guard has named in an error of DuckDB's."""
        return unreadable_value(stream, said)

    def _broken_off(self, stream: StreamConfig, said: str) -> ManifoldError | None:
        """What an error of DuckDB's says of the server; None for one that is not the server's."""
        return None

    def test(self) -> Iterator[Stage]:
        opened: list[Connection] = []
        found: dict[str, Any] = {}
        stages: list[tuple[str, Callable[[], str]]] = [
            ("resolve", lambda: ", ".join(net.resolve(self.params.host, self.params.port))),
            ("connect", lambda: self._connect(found)),
            ("authenticate", lambda: self._authenticate(found, opened)),
            ("list", lambda: self._list(found, opened[0])),
            ("read a row", lambda: self._read_row(found, opened[0])),
        ]
        try:
            yield from staged(stages)
        finally:
            for connection in opened:
                connection.close()

    def _connect(self, found: dict[str, Any]) -> str:
        found["address"] = reachable(self.params.host, self.params.port, self.server)
        return f"{found['address']}:{self.params.port}"

    def _authenticate(self, found: dict[str, Any], opened: list[Connection]) -> str:
        opened.append(self._sign_in(found["address"]))
        return self._asked(lambda: self._introduced(opened[0]), "the settings of the session")

    def _list(self, found: dict[str, Any], connection: Connection) -> str:
        found["streams"] = self._asked(lambda: self._catalogue(connection), "the catalogue")
        count = len(found["streams"])
        if not count:
            raise self._nothing()
        return f"{count} {'table or view' if count == 1 else 'tables and views'}"

    def _read_row(self, found: dict[str, Any], connection: Connection) -> str:
        first: StreamInfo = found["streams"][0]
        prepared = self._prepared(connection, StreamConfig(first.name, settings=first.settings))
        self._asked(lambda: self._run(connection, prepared, 1), first.name)
        return first.name

    def discover(self) -> list[StreamInfo]:
        with self._connected(ASK_SECONDS) as connection:
            return self._asked(lambda: self._catalogue(connection), "the catalogue")

    def describe(self, stream: StreamConfig) -> StreamInfo:
        """A stream's columns as they would arrive; for an operator's query, whose columns nobody discovered."""
        with self._connected(ASK_SECONDS) as connection:
            return self._described(connection, self._prepared(connection, stream))

    def _described(self, connection: Connection, prepared: Ready) -> StreamInfo:
        warnings = tuple(f"{each.name}: {each.warning}" for each in prepared.columns if each.warning)
        return StreamInfo(prepared.stream.name, prepared.columns, warnings=warnings)

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...]:
        """Of the catalogue alone: who has locked a table keeps nobody from its columns.

        One that is withheld is no column that has gone: it fails a stream that reads it, and stays of any other.
        """
        undeclared = StreamConfig(stream.name, settings=stream.settings, query=stream.query)
        with self._connected(ASK_SECONDS) as connection:
            columns = self._prepared(connection, undeclared).columns
            there = {each.name for each in columns}
            unseen = {each.name: each for each in stream.columns if each.name not in there}
            withheld = self._kept_back(connection, stream, list(unseen))
            read = [each for each in withheld if not stream.select or each in stream.select]
            if read:
                raise self._not_granted(connection, stream, read)
            return columns + tuple(unseen[each] for each in withheld)

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        with self._connected(ASK_SECONDS) as connection:
            return self._asked(lambda: in_time(streams, lambda each: self._against(connection, each)), "the catalogue")

    def _against(self, connection: Connection, stream: StreamConfig) -> list[Finding]:
        """What stands against a stream; where a run could not read it at all, and no grant mends it, that alone."""
        findings = self._findings(connection, stream)
        if any(each.code == "missing_grant" for each in findings):
            return findings
        try:
            self._prepared(connection, stream)
        except (ConfigurationError, DataError) as error:
            return [Finding(stream.name, error.code, error.message, error.evidence.get("grant", ""))]
        return findings

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        with self._connected(patience(self)) as connection:
            asking = self._asking(connection, self._prepared(connection, stream))
            return self._asked(lambda: planning.planned(asking, mode, mark), stream.name)

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        """Rows that belong to the window alone: after `lower`, up to `upper`."""
        with self._connected(patience(self)) as connection:
            asking = self._asking(connection, self._prepared(connection, stream))
            return self._asked(lambda: asking.counted_alone(window), stream.name)

    def _prepared(self, connection: Connection, stream: StreamConfig) -> Ready:
        try:
            return self._asked(lambda: self._prepare(connection, stream), stream.name)
        except ConfigurationError as error:
            missing = error.evidence.get("missing", []) if error.code == "column_missing" else []
            withheld = self._kept_back(connection, stream, missing)
            if not withheld:
                raise
            raise self._not_granted(connection, stream, withheld) from None

    def _kept_back(self, connection: Connection, stream: StreamConfig, names: Sequence[str]) -> list[str]:
        """Those of the columns, which the user does not see, that a grant alone would bring back."""
        if not names or stream.query:
            return []
        return self._asked(lambda: self._withheld(connection, stream, names), stream.name)

    def _not_granted(self, connection: Connection, stream: StreamConfig, names: Sequence[str]) -> ConfigurationError:
        grant = self._asked(lambda: self._grant(connection, stream), stream.name)
        return ConfigurationError(
            f"{self.params.user} may not read {', '.join(names)} of {stream.name} any more: the right is missing, not "
            f"the column. Its owner can allow it: {grant.rstrip(';')}. Or take the column out of the stream.",
            code="missing_grant",
            evidence={"stream": stream.name, "columns": list(names), "grant": grant},
        )

    def _asked_again(self, stream: StreamConfig) -> ManifoldError | None:
        """Whether the source is still there as it was: if not, that is the reason, and the server gives it a number."""
        try:
            with self._connected(ASK_SECONDS) as connection:
                prepared = self._prepared(connection, stream)
                self._asked(lambda: self._run(connection, prepared, 0), stream.name)
        except ManifoldError as error:
            return error
        return None

    @contextmanager
    def _explained(self, stream: StreamConfig) -> Iterator[None]:
        """Errors of DuckDB's that came from the source, in our words; others go on as they are."""
        try:
            yield
        except (duckdb.Error, ManifoldError) as error:
            raised = error if isinstance(error, duckdb.Error) else error.__cause__
            if not isinstance(raised, duckdb.Error) or isinstance(raised, duckdb.InterruptException):
                raise
            said = self.params.scrubbed(str(raised))
            known = self._no_value(stream.name, raised, said) or self._broken_off(stream, said)
            if known is None:
                raise
            raise known from error

    def _no_value(self, stream: str, error: duckdb.Error, said: str) -> DataError | None:
        """What to say of an error of DuckDB's that is about a value, `said` without secrets."""
        marked = self._unreadable(stream, said)
        if marked is not None or not isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException):
            return marked
        return DataError(
            f"A value of {stream} does not fit its declared type: {said.partition(chr(10))[0]}. "
            "Declare the column as VARCHAR to keep every value as it is.",
            code="value",
            evidence={"stream": stream, "said": said[:1000]},
        )
