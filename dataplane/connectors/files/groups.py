"""Files that one statement reads into the declared schema; how it reads them is a matter of their format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from dataplane.connectors.files.encodings import Compression
from dataplane.connectors.files.layouts import Layout
from dataplane.connectors.files.settings import FileSettings, Format
from dataplane.connectors.files.texts import Texts
from dataplane.connectors.reading import Part, SourceFile
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.relations import identifier, literal, path_list

# DuckDB reads a file in pieces of this size, of which each holds at least one line.
BUFFER = 8_000_000
# Measured on 5 M lines whose order is kept: pieces of 2 MB need 60 MB less than those of 8 MB, and a hundredth more
# time. Files with longer lines, or larger objects, are read again.
SMALL_BUFFER = 2_000_000
ORIGIN = "__origin"
PATH = "__path"


@dataclass(frozen=True)
class GroupFile:
    """One file of a group: where DuckDB reads it (a copy, perhaps), and what it says about its columns.

    blank: so many empty lines stand before its header. quoted: a quote stands in its beginning, and it is
    larger than a piece. line_end: what ends each of its lines, as the reader is told; empty where nothing has to be.
    """

    source: SourceFile
    absolute: str
    format: Format
    compression: Compression
    layout: Layout
    weight: int
    texts: Texts | None = None
    blank: int = 0
    quoted: bool = False
    line_end: str = ""

    def alike(self, other: GroupFile) -> bool:
        """Whether one statement can read both."""
        if self.texts or other.texts:
            return False
        mine = self.format, self.compression, self.layout, self.blank, self.quoted, self.line_end
        return mine == (other.format, other.compression, other.layout, other.blank, other.quoted, other.line_end)


@dataclass(frozen=True)
class Group(ABC):
    """Files that one statement reads. `number` tells the parts of a reading apart. sample: only the first rows are
    asked for."""

    settings: FileSettings
    columns: tuple[Column, ...]
    stream: StreamConfig
    files: tuple[GroupFile, ...]
    number: int
    sample: bool = False

    @abstractmethod
    def part(self, check: Callable[[], None] | None) -> Part:
        """The part, with its careful twin where a fast read may meet a value that does not fit."""

    @property
    def _first(self) -> GroupFile:
        return self.files[0]

    @property
    def _sources(self) -> tuple[SourceFile, ...]:
        return tuple(each.source for each in self.files)

    @property
    def _origin(self) -> str | None:
        return ORIGIN if len(self.files) > 1 else None

    @property
    def _there(self) -> dict[str, str]:
        return dict(self._first.layout)

    @property
    def _paths(self) -> str:
        return path_list(each.absolute for each in self.files)

    def _chosen(self, query: str) -> str:
        """The selected columns of the rows that the filter lets through."""
        names = self.stream.select or tuple(each.name for each in self.columns)
        items = [identifier(each) for each in names]
        if self._origin:
            items.append(self._origin)
        where = f" WHERE (\n{self.stream.row_filter}\n)" if self.stream.row_filter else ""
        return f"SELECT {', '.join(items)} FROM ({query}){where}"

    def _place(self) -> str:
        """The last item of a SELECT: the place of a row's file among several."""
        return f", list_position({self._paths}, {PATH}) - 1 AS {ORIGIN}" if self._origin else ""

    def _items(self, value: Callable[[Column], str]) -> str:
        """Each declared column by name; one that these files lack is NULL."""
        return ", ".join(
            f"{value(each) if each.name in self._there else f'CAST(NULL AS {each.type})'} AS {identifier(each.name)}"
            for each in self.columns
        )

    def _names(self) -> str:
        pairs = ", ".join(f"({literal(each.absolute)}, {literal(each.source.ref.path)})" for each in self.files)
        return f"(VALUES {pairs}) AS known({PATH}, name)"


def unfit(column: Column) -> str:
    """Why a value is set aside."""
    return f"{column.name} is not {column.type}"


def struct(types: dict[str, str]) -> str:
    """The columns of a reader's call, with the types that it reads them as."""
    return "{" + ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in types.items()) + "}"
