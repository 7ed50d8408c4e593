"""How a stream of files is declared: which files, in which format, and every setting that was sniffed once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from dataplane.connectors.files.cells import Cells
from dataplane.connectors.files.spans import Span
from dataplane.connectors.schema import StreamConfig
from dataplane.errors import ConfigurationError

Format = Literal["csv", "tsv", "json", "ndjson", "parquet", "excel", "fixed", "xml", "avro"]
OneCharacter = Annotated[str, StringConstraints(min_length=1, max_length=1)]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".fwf": "fixed",
    ".xml": "xml",
    ".avro": "avro",
    ".xlsx": "excel",
    ".xlsm": "excel",
    # Told apart when they are opened, so that whoever delivers one is told what to do.
    ".xlsb": "excel",
    ".xls": "excel",
}
# What is not text: no encoding, no lines.
BINARY = ("parquet", "excel")
# What is read from a copy beside it, in another form.
COPIED = ("xml", "avro")
COMPRESSED = (".gz", ".zst")
# Holds files; each of them is told by its own name.
ARCHIVE = ".zip"
# Delimiters that nobody sees, by the words that stand for them.
UNSEEN = {"tab": "\t", "space": " "}
_NAME = re.compile(r"[^\s/@#<>\"'=]+")
_DELIMITED: tuple[Format, ...] = ("csv", "tsv")
_TEXTS: tuple[Format, ...] = (*_DELIMITED, "fixed", "xml")
# Settings that say something of these formats only.
_OF: dict[str, tuple[Format, ...]] = {
    "encoding": (*_TEXTS, "json", "ndjson"),
    "delimiter": _DELIMITED,
    "quote": _DELIMITED,
    "escape": _DELIMITED,
    "header": (*_DELIMITED, "fixed", "excel"),
    "skip": (*_DELIMITED, "fixed", "excel"),
    "decimal_separator": _TEXTS,
    "null_values": (*_TEXTS, "excel"),
    "date_format": (*_TEXTS, "excel"),
    "sheet": ("excel",),
    "cells": ("excel",),
    "positions": ("fixed",),
    "records": ("xml",),
    "repeated": ("xml",),
}


class FileSettings(BaseModel):
    """The settings of one stream. Only `pattern` has to be given; `discover` finds the others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pattern: tuple[str, ...] = Field(
        min_length=1, title="Files", description="Such as flights_{YYYY}-{MM}.csv or *.csv"
    )
    format: Literal["auto", "csv", "tsv", "json", "ndjson", "parquet", "excel", "fixed", "xml", "avro"] = Field(
        "auto", title="Format"
    )
    encoding: str = Field("utf-8", title="Encoding")
    delimiter: OneCharacter | None = Field(
        None, title="Delimiter", description="Such as ; or tab or space; empty: comma, or tab for TSV"
    )
    quote: OneCharacter | None = Field('"', title="Quote", description="Empty: quotes are a part of the text")
    escape: OneCharacter | None = Field('"', title="Escape", description="Empty: none but a doubled quote")
    header: bool = Field(True, title="The first line names the columns")
    skip: int = Field(0, ge=0, le=10_000, title="Lines before the header")
    decimal_separator: Literal[".", ","] = Field(".", title="Decimal separator")
    null_values: tuple[str, ...] = Field(("",), title="Texts that mean no value")
    date_format: str | None = Field(None, title="Date format", description="Such as %d/%m/%Y; empty: ISO")
    sheet: str | None = Field(None, title="Sheet", description="Of an Excel workbook; empty: the first one")
    cells: str | None = Field(
        None, title="Cells", description="Of the sheet, with the header, such as B3:H; empty: all"
    )
    positions: tuple[str, ...] = Field(
        (),
        title="Columns by position",
        description="Of the format fixed, one a line: a name, and its first and last letter, such as amount 11-20",
    )
    records: str = Field(
        "",
        title="Records",
        description="Of the format xml: the path of the elements that are rows, such as orders/order",
    )
    repeated: tuple[str, ...] = Field(
        (),
        title="Elements that repeat",
        description="Of the format xml, one a line: what is a list in each record, such as tag or lines/line",
    )
    when_changed: Literal["ignore", "read_again", "stop"] | None = Field(
        None, title="When a file has changed since it was read", description="Empty: leave it, and say so"
    )
    by_pattern: bool = Field(False, title="Read all files of the first pattern before those of the next")
    settle_seconds: float | None = Field(
        None,
        ge=0,
        title="Leave a file alone until it has not changed for so many seconds",
        description="Empty: in folders of this machine, until no program of it is writing there any more",
    )

    @field_validator("pattern", "positions", "repeated", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return tuple(each.strip() for each in value.splitlines() if each.strip()) if isinstance(value, str) else value

    @field_validator("null_values", mode="before")
    @classmethod
    def _as_it_is(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("delimiter", mode="before")
    @classmethod
    def _unseen(cls, value: object) -> object:
        return UNSEEN.get(value.strip().lower(), value) if isinstance(value, str) else value

    @field_validator("positions")
    @classmethod
    def _apart(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [Span.parse(each).name.casefold() for each in value]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise ValueError(f"Two columns would be called {twice[0]}. Give each its own name.")
        return value

    @field_validator("records")
    @classmethod
    def _steps(cls, value: str) -> str:
        path = value.strip().strip("/")
        if path and not all(_NAME.fullmatch(each) for each in path.split("/")):
            raise ValueError(f"{value!r} is no path of elements. Write their names from the root on: orders/order")
        return path

    @field_validator("cells")
    @classmethod
    def _area(cls, value: str | None) -> str | None:
        if value:
            Cells.parse(value)
        return value or None

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return "utf-8" if not value else codec(value)
        except LookupError:
            raise ValueError(f"The encoding {value!r} is unknown. Use utf-8, utf-16, latin-1 or cp1252.") from None

    @property
    def area(self) -> Cells:
        """The cells of a sheet in which the table lies."""
        return Cells.parse(self.cells) if self.cells else Cells()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The columns of a format of fixed width."""
        return tuple(Span.parse(each) for each in self.positions)

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the elements that lead to a record, which is the last; none where nothing tells."""
        return tuple(each.rpartition(":")[2] for each in self.records.split("/")) if self.records else ()

    @property
    def separator(self) -> str:
        return self.delimiter or ("\t" if self.format == "tsv" else ",")


def implied(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that somebody gave, with the format that they tell: only one has columns by position."""
    return {"format": "fixed", **given} if given.get("positions") else dict(given)


def settings_for(format_: str | None) -> frozenset[str]:
    """The settings that say something of files in this format; of an unknown one all."""
    return frozenset(
        each for each in FileSettings.model_fields if format_ is None or format_ in _OF.get(each, (format_,))
    )


def codec(name: str) -> str:
    """A codec's usual name. Raises LookupError for one that is unknown or no text encoding."""
    "".encode(name)
    return name.lower().replace("_", "-")


def settings_of(stream: StreamConfig) -> FileSettings:
    """The settings of a declared stream. Raises ConfigurationError naming the setting."""
    try:
        return FileSettings.model_validate(stream.settings)
    except ValidationError as error:
        first: dict[str, Any] = dict(error.errors()[0])
        place = ".".join(str(each) for each in first["loc"]) or "settings"
        raise ConfigurationError(
            f"The setting {place} of stream {stream.name} is wrong: {first['msg']}.",
            code="stream_settings",
            evidence={"stream": stream.name, "setting": place},
        ) from None


def format_of(path: str, settings: FileSettings | None = None) -> Format | None:
    """A file's format: as declared, else by its name without a suffix for compression; None when nothing tells."""
    if settings is not None and settings.format != "auto":
        return settings.format
    name = path.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return next((each for suffix, each in SUFFIXES.items() if name.endswith(suffix)), None)
