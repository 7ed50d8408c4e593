"""Windows: exactly what one extract reads; what was read before them, and what a plan says of the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dataplane.connectors.schema import Column
from dataplane.errors import DataError

ReadMode = Literal["full_refresh", "incremental"]


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
class Span:
    """Messages of one partition: those behind `lower`, up to and with `upper`, as the source writes its offsets.

    count_lower, count_upper: how many messages the partition had ever been given by then, where offsets alone do not
    tell how many lie between two of them. begins: nothing before it was read, so that it may begin later, too. made:
    when its stream came to be, or its id, where the source says so: another one of the same name has other messages.
    """

    partition: str
    lower: str
    upper: str
    count_lower: int | None = None
    count_upper: int | None = None
    begins: bool = False
    made: str = ""


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
    begun: paths of `files` that a run has begun to read, or has read, and that no load has taken.
    """

    files: tuple[FileRef, ...] = ()
    upper: str | None = None
    boundary_rows: int | None = None
    seen_from: str | None = None
    ignored: frozenset[str] = frozenset()
    spans: tuple[Span, ...] = ()
    seed: bool = False
    touched: tuple[FileRef, ...] = ()
    begun: frozenset[str] = frozenset()


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


class FilesRefused(DataError):
    """One of the files that are there keeps a plan from saying what is in the others. listed: all of them."""

    def __init__(self, why: DataError, listed: tuple[FileRef, ...]) -> None:
        super().__init__(why.message, code=why.code, evidence=why.evidence, suggestions=why.suggestions)
        self.listed = listed
