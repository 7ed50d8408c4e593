"""A stream's schema: as a connector finds it, and as an operator declared it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataplane.types import stored


@dataclass(frozen=True)
class Column:
    """One column of a stream. `type` is DuckDB's name of the type that arrives, `native` the source's own.

    A type that no staged file keeps is the one that is kept instead: a HUGEINT would lose its last digits.
    """

    name: str
    type: str
    nullable: bool = True
    native: str = ""
    warning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", stored(self.type))


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
