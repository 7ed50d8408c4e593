"""What a connector is: declared capabilities, a parameter schema with secret fields, errors in its own words.

A connector never sees a user, a run or a row of the catalogue. It is given parameters (with secrets already opened),
says what there is (`discover`), what would be read (`plan`), and offers the rows as one SELECT on a DuckDB connection
(`read`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import duckdb
import pyarrow as pa
from pydantic import BaseModel, Field

from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.streams.inbox import Inbox
from dataplane.errors import ManifoldError
from dataplane.oauth import Grant

Family = Literal["file", "database", "api", "stream"]
ReadMode = Literal["full_refresh", "incremental"]


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
class Column:
    """One column of a stream. `type` is DuckDB's name of the type that arrives, `native` the source's own."""

    name: str
    type: str
    nullable: bool = True
    native: str = ""
    warning: str = ""


@dataclass(frozen=True)
class FileRef:
    """A file as it was seen: `path` relative to the source, `size` in bytes, `modified` in RFC 3339 UTC.

    version: what its place calls this state of it (the ETag of a download); empty where time and size have to tell.
    digest: of its bytes (XXH3, 128 bits), once it was read.
    """

    path: str
    size: int
    modified: str
    file_date: str | None = None
    version: str = ""
    digest: str = field(default="", compare=False)

    @property
    def state(self) -> tuple[int, str, str]:
        """What differs when the file has changed."""
        return self.size, self.modified, self.version

    def as_json(self) -> dict[str, Any]:
        """As windows keep it; the digest, where it was read."""
        return {name: value for name, value in vars(self).items() if name != "digest" or value}


@dataclass(frozen=True)
class Uploaded:
    """A file that was given to a source: its name there, where it lies, its size in bytes, its time in nanoseconds."""

    name: str
    absolute: str
    size: int
    changed: int


@dataclass(frozen=True)
class Span:
    """Messages of one partition: those behind `lower`, up to and with `upper`, as the source writes its offsets.

    count_lower, count_upper: how many messages the partition had ever been given by then, where offsets alone do not
    tell how many lie between two of them. begins: nothing before it was read, so that it may begin later, too.
    """

    partition: str
    lower: str
    upper: str
    count_lower: int | None = None
    count_upper: int | None = None
    begins: bool = False


@dataclass(frozen=True)
class Limits:
    """Where a read of messages ends early: after so many messages, bytes or seconds."""

    messages: int
    bytes: int
    seconds: int


@dataclass(frozen=True)
class Window:
    """Exactly what one extract reads, whether it is read once or again.

    full: the whole stream. files: these files and no other. cursor: rows with lower < cursor <= upper as text in the
    source's own notation (lower None: from the beginning); `reread_from` starts earlier than `lower` by the lookback,
    and rows read before are taken out as a multiset of row hashes (`seen`, a Parquet path in the storage, or None).
    slice: rows with lower <= cursor < upper, whatever was read before. offsets: the messages of these spans; with
    `limits` the first read of them may end early, and the spans with it. Read once, it has no limits any more, and
    `messages` says how many there were; `behind` how many it has left for the next window, `gone` how many were no
    longer there.
    """

    kind: Literal["full", "files", "cursor", "slice", "offsets"]
    files: tuple[FileRef, ...] = ()
    column: str | None = None
    lower: str | None = None
    upper: str | None = None
    reread_from: str | None = None
    spans: tuple[Span, ...] = ()
    limits: Limits | None = None
    messages: int | None = None
    behind: int = 0
    gone: int = 0

    def as_json(self) -> dict[str, Any]:
        if self.kind == "full":
            return {"kind": "full"}
        if self.kind == "files":
            return {"kind": "files", "files": [each.as_json() for each in self.files]}
        if self.kind == "offsets":
            return {
                "kind": "offsets",
                "spans": [vars(each) for each in self.spans],
                "limits": vars(self.limits) if self.limits else None,
                "messages": self.messages,
                "behind": self.behind,
                "gone": self.gone,
            }
        return {
            "kind": self.kind,
            "column": self.column,
            "lower": self.lower,
            "upper": self.upper,
            "reread_from": self.reread_from,
        }

    @property
    def by_cursor(self) -> bool:
        """Whether its rows are told by the stream's cursor."""
        return self.kind in ("cursor", "slice")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Window:
        if value["kind"] == "files":
            return cls("files", files=tuple(FileRef(**each) for each in value["files"]))
        if value["kind"] == "offsets":
            spans = tuple(Span(**each) for each in value["spans"])
            limits = Limits(**value["limits"]) if value["limits"] else None
            told = {name: value[name] for name in ("messages", "behind", "gone")}
            return cls("offsets", spans=spans, limits=limits, **told)
        names = ("column", "lower", "upper", "reread_from")
        return cls(value["kind"], **{name: value[name] for name in names if name in value})


@dataclass(frozen=True)
class Mark:
    """What earlier windows of a pipeline's extract step have read: files for file sources, `upper` for cursors.

    touched: files of this machine that had another time later, and the same bytes, as they were then. spans: of
    messages the last span of each partition. boundary_rows: how many rows the last window's `seen` counts, so that
    rows which came late are noticed although `upper` has not moved; None where nobody counted. seen_from: from
    which cursor on `seen` knows the rows; nothing before it may be read again, or rows would come twice when a
    lookback was made longer. seed: everything that is there is read again, whatever the source would begin with.
    """

    files: tuple[FileRef, ...] = ()
    upper: str | None = None
    boundary_rows: int | None = None
    seen_from: str | None = None
    ignored: frozenset[str] = frozenset()
    spans: tuple[Span, ...] = ()
    seed: bool = False
    touched: tuple[FileRef, ...] = ()


@dataclass(frozen=True)
class Planned:
    """What an extract would read now. `window` None: nothing new, and `reason` says so in a sentence.

    changed: files that are not as they were when they were read, whether they are read again or not. columns: those of
    the records that were looked at to tell what is new; None where none were. touched: files that have another time
    than when they were read, and were found to have the same bytes. empty: where a seed finds nothing, the window that
    remembers how far that is; None where it needs no such thing.
    """

    window: Window | None
    reason: str
    rows: int | None = None
    bytes: int | None = None
    warnings: tuple[str, ...] = ()
    listed: tuple[FileRef, ...] = ()
    changed: tuple[str, ...] = ()
    columns: tuple[Column, ...] | None = None
    touched: tuple[FileRef, ...] = ()
    empty: Window | None = None


@dataclass(frozen=True)
class StreamInfo:
    """A stream as discovered: its columns, what it can be read by, and how large it seems to be."""

    name: str
    columns: tuple[Column, ...]
    title: str = ""
    primary_key: tuple[str, ...] = ()
    cursor_candidates: tuple[str, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class StreamConfig:
    """A stream as an operator declared it: what `discover` found, after the operator's changes.

    settings: what the connector sniffed (dialect, encoding, pattern). columns: the declared schema, in order; empty
    means as found. select: the chosen columns (empty: all). row_filter: one SQL boolean in the source's own dialect.
    query: the operator's own query instead of a table. cursor, lookback: for incremental reading (lookback in the
    cursor's own unit: seconds for times, else a number). names: under which names columns arrive that are called
    otherwise in the source; connectors know the source's names only.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    select: tuple[str, ...] = ()
    row_filter: str | None = None
    query: str | None = None
    cursor: str | None = None
    lookback: float = 0.0
    names: dict[str, str] = field(default_factory=dict)


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
    """What stands against reading a stream by its cursor, and the statement that mends it in the source."""

    stream: str
    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class SourceFile:
    """A file behind a part of a reading: as it was planned, and where it lies now (absolute; never shown to anybody).

    first_line: the line of its first row, counted from 1; None for formats without lines. compressed: whether it has to
    be unpacked to be read. copy: a copy in UTF-8 whose lines are those of the file; empty where it is UTF-8 itself.
    longest_line: so many bytes a line may have, 0 for any; its reader loses longer ones without a word.
    """

    ref: FileRef
    absolute: str
    first_line: int | None = None
    compressed: bool = False
    copy: str = ""
    longest_line: int = 0


@dataclass(frozen=True)
class Part:
    """One SELECT of a reading, run to its end before the next part is asked for.

    files: what it reads, in the order in which its rows come. origin: with several files, the column of `query` that
    holds the position (0, 1, …) of a row's file in `files`; it is taken out before the rows are staged. careful: the
    query to run instead when `query` fails with a value that does not fit its type exactly; rows that do not fit are
    left out there. rejects: run after the query on the same connection (file, row, reason, raw). fatal: what stands in
    the reason of a reject behind which nobody can tell where a row ends. check: called at the end; raises when what was
    read is not what was planned. release: called when nobody needs the files any more. lines: the lines of one of its
    files, by its place in `files`, in which records begin that the rejects tell by their numbers; None where these are
    lines.
    """

    query: str
    rejects: str | None = None
    files: tuple[SourceFile, ...] = ()
    origin: str | None = None
    careful: Part | None = None
    prepare: tuple[str, ...] = ()
    fatal: str | None = None
    check: Callable[[], None] | None = None
    release: Callable[[], None] | None = None
    lines: Callable[[int, Collection[int]], dict[int, int]] | None = None

    @property
    def names(self) -> dict[str, str]:
        """The names of its files, by the places where they are read."""
        return {place: each.ref.path for each in self.files for place in (each.absolute, each.copy) if place}


@dataclass
class Reading:
    """Rows on offer: run `query` on the connection it was opened on, to its end, then look at what was rejected.

    query is one SELECT. `rejects` is asked after the query has run; it is a query on the same connection with the
    columns file, row (line number), reason, raw; None where the connector cannot reject. A source of many files offers
    `parts` instead (then `query` is empty): they are prepared one after the other while they are asked for. settled: of
    messages the window as it was read, once all parts are. warnings:
    sentences that may grow while the parts are read. check: called once all rows have been read, while the reading is
    still open, with a SELECT that gives them as they arrived; raises ManifoldError where one may have changed on its
    way.
    """

    query: str
    columns: tuple[Column, ...]
    rejects: str | None = None
    total_rows: int | None = None
    total_bytes: int | None = None
    parts: Iterable[Part] = ()
    warnings: list[str] = field(default_factory=list)
    settled: Window | None = None
    check: Callable[[str], None] | None = None

    def in_parts(self) -> Iterable[Part]:
        """The parts; a reading that is one query is one part."""
        return [Part(self.query, rejects=self.rejects)] if self.query else self.parts


@dataclass(frozen=True)
class Rejected:
    """A row that would be set aside: its line in the file or its number, why, and what it says."""

    file: str | None
    row: int | None
    reason: str
    raw: str


@dataclass(frozen=True)
class Previewed:
    """The first rows as they would arrive. Of the part that was looked at, `rejected` rows would be set aside instead;
    `samples` are the first of those."""

    table: pa.Table
    rejected: int = 0
    samples: tuple[Rejected, ...] = ()


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
        """What would make incremental reading of these streams slow, or lose rows. Raises ManifoldError."""
        return []

    def values(self, stream: StreamConfig, file: FileRef) -> dict[str, frozenset[str]]:
        """Some values of each column of a file, as text; none where it cannot be looked into cheaply."""
        return {}

    def count(self, stream: StreamConfig, window: Window) -> int | None:
        """How many rows the source holds for a window now; None where asking is as dear as reading."""
        return None


def secret_field(title: str, description: str = "", **extra: Any) -> Any:
    """A parameter that is encrypted, write-only and redacted everywhere."""
    return Field(default=None, title=title, description=description, json_schema_extra={"secret": True, **extra})


def secret_names(model: type[BaseModel]) -> frozenset[str]:
    """The names of a parameter model's secret fields."""
    return frozenset(
        name
        for name, each in model.model_fields.items()
        if isinstance(each.json_schema_extra, dict) and each.json_schema_extra.get("secret")
    )
