"""Files whose values arrive as texts first: what a file of such a kind tells of itself before its rows are typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from dataplane.connectors.files import casts
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.schema import Column
from dataplane.relations import identifier, literal

TABLE = "__texts"
ROW = "__row"
REFUSAL = "__refusal"


class Texts(Protocol):
    """The rows of one file as texts, each with its number in the file; of a format that has types, as those.

    refusal: the SQL of why a row cannot be taken, whatever its columns are declared as; NULL where it can.
    """

    refusal: ClassVar[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, from left to right."""

    def texts(self, absolute: str, null_values: Sequence[str], *, rows: int | None = None) -> str:
        """A SELECT of the number of each row, as `ROW`, and of its texts. rows: no more than so many of the first."""

    def value(self, column: Column, settings: FileSettings) -> str:
        """The text of a column as its declared type; NULL when it does not fit exactly."""
        return casts.careful(
            identifier(column.name),
            column.type,
            separator=settings.decimal_separator,
            date_format=settings.date_format,
        )


def named(texts: Iterable[tuple[str, str]], null_values: Sequence[str]) -> str:
    """The items of a SELECT: texts (expressions), each under its name, and NULL where one stands for nothing."""
    nothing = ", ".join(literal(each) for each in dict.fromkeys(["", *null_values]))
    return ", ".join(
        f"CASE WHEN {text} IN ({nothing}) THEN NULL ELSE {text} END AS {identifier(name)}" for text, name in texts
    )
