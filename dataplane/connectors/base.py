"""What a connector is: declared capabilities, a parameter schema with secret fields, errors in its own words.

A connector never sees a user, a run or a row of the catalogue. It is given parameters (with secrets already opened),
says what there is (`discover`), what would be read (`plan`), and offers the rows as one SELECT on a DuckDB connection
(`read`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import duckdb
import pyarrow as pa
from pydantic import BaseModel

from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.reading import Previewed, Reading
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.streams.inbox import Inbox
from dataplane.connectors.windows import FileRef, Mark, Planned, ReadMode, Window
from dataplane.errors import ManifoldError
from dataplane.oauth import Grant

Family = Literal["file", "database", "api", "stream"]


def _can(title: str, meaning: str, *, default: bool = False) -> Any:
    return field(default=default, metadata={"title": title, "meaning": meaning})


@dataclass(frozen=True)
class Capabilities:
    """What a connector can do; the matrix in the console, the API and the docs is made from it."""

    full: bool = _can("whole", "reads all there is", default=True)
    incremental: bool = _can("only new", "reads what is new since the last time, each row once")
    query: bool = _can("own query", "reads the answer of a SELECT of one's own instead of a table")
    streaming: bool = _can("events", "reads events as they come, in small batches")
    schema_inference: bool = _can("finds types", "finds columns and types; they can be changed")
    parallel: bool = _can("parallel", "reads several parts of a stream at the same time where that is safe")
    resumable: bool = _can("resumes", "a run that was cut off reads exactly the same rows again")
    writable: bool = _can("destination", "load steps can write into its tables")


@dataclass(frozen=True)
class Uploaded:
    """A file that was given to a source: its name there, where it lies, its size in bytes, its time in nanoseconds."""

    name: str
    absolute: str
    size: int
    changed: int


@dataclass(frozen=True)
class Stage:
    """One stage of a connection test (resolve, connect, authenticate, list, read a row), its time and its error."""

    name: str
    ok: bool
    seconds: float
    detail: str = ""
    error: ManifoldError | None = None


@dataclass(frozen=True)
class Finding:
    """What stands against reading a stream, and the statement that mends it in the source, where there is one."""

    stream: str
    code: str
    message: str
    remedy: str = ""


class Connector(ABC):
    """Base of every connector. Instances are cheap and hold parameters only; nothing is opened before it is needed."""

    key: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family]
    summary: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    ordered: ClassVar[bool] = False
    """Whether rows come in an order that means something: the lines of a file."""
    tested_with: ClassVar[str] = ""
    """What its tests read for real; the matrix shows it, and shows where there is nothing yet."""
    fills_missing: ClassVar[bool] = False
    """Whether a declared column that a part of a stream lacks is read as NULL there."""
    samples: ClassVar[bool] = False
    """Whether it tells the columns by some records only: these show what is new, and never what has gone."""
    beside: ClassVar[tuple[Column, ...]] = ()
    """The columns that stand beside every record, whatever it holds; their names begin with an underscore."""
    takes_uploads: ClassVar[bool] = False
    """Whether its sources keep files that are given to them."""
    hurried: bool = False
    """Whether a person waits for its plans, which may say less then of how much there is."""
    Params: ClassVar[type[BaseModel]]
    """The parameters' model. A secret field is declared with `secret_field()` and is never shown again once stored."""
    Settings: ClassVar[type[BaseModel] | None] = None
    """The model of a stream's settings, where an operator may change them."""
    extensions: ClassVar[tuple[str, ...]] = ()
    """DuckDB's extensions that the connection given to `read` needs, such as `postgres_scanner`."""

    def __init__(
        self,
        params: BaseModel,
        *,
        roots: Sequence[str] = (),
        networks: Sequence[str] = (),
        uploads: Sequence[Uploaded] = (),
        inbox: Inbox | None = None,
        grant: Grant | None = None,
    ) -> None:
        """What an installation adds to the parameters; each connector looks at what concerns it.

        roots: the folders that file sources may read. networks: private networks that may be reached over HTTP.
        uploads: the files that were given to the source. inbox: the events that were sent to it. grant: what somebody
        has let it do.
        """
        self.params = params
        self.roots = tuple(roots)
        self.networks = tuple(networks)
        self.uploads = tuple(uploads)
        self.inbox = inbox
        self.grant = grant

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        """What it makes of a clue to a place; None where it is none of its own. Never raises, and asks nobody."""
        return None

    @classmethod
    def needs_cursor(cls) -> bool:
        """Whether a column has to say what is new; files and messages say it themselves."""
        return cls.capabilities.incremental and cls.family not in ("file", "stream")

    @abstractmethod
    def test(self) -> Iterator[Stage]:
        """Yield each stage as it ends; stop after the first that fails. Never raises ManifoldError."""

    @abstractmethod
    def discover(self) -> list[StreamInfo]:
        """What can be read, with schemas. Raises ManifoldError."""

    def discover_named(self, names: Collection[str]) -> list[StreamInfo]:
        """The streams of these names; a connector that looks into streams one by one looks into no other."""
        return [each for each in self.discover() if each.name in names]

    @abstractmethod
    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        """What a read in this mode would read now, given what was read before. Reads no rows but what it must."""

    def plan_sample(self, stream: StreamConfig) -> Planned:
        """What a declaration is tried on: what a full refresh would read now."""
        return self.plan(stream, "full_refresh", Mark())

    @abstractmethod
    def read(
        self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection
    ) -> AbstractContextManager[Reading]:
        """Offer the rows of exactly this window on a *connector* instance of DuckDB."""

    @abstractmethod
    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        """The first rows as they would arrive."""

    def previewed(self, stream: StreamConfig, limit: int = 50) -> Previewed:
        """The first rows as they would arrive, and what of the part that was looked at would not; where it can tell."""
        return Previewed(self.preview(stream, limit))

    def columns_now(self, stream: StreamConfig, files: Sequence[FileRef]) -> tuple[Column, ...] | None:
        """Every column that the stream has now, declared or not; of files, those in these that are about to be read.

        None where nobody can tell without reading it. Raises ManifoldError.
        """
        return None

    def preflight(self, streams: Sequence[StreamConfig]) -> list[Finding]:
        """What would make reading these streams slow, lose rows or fail. Raises ManifoldError."""
        return []

    def values(self, stream: StreamConfig, file: FileRef) -> dict[str, frozenset[str]]:
        """Some values of each column of a file, as text; none where it cannot be looked into cheaply."""
        return {}

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        """How many rows the source holds for a window now; None where asking is as dear as reading."""
        return None
