"""The columns of a collection, told by its oldest and its newest documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dataplane.connectors.files.layouts import MOST_COLUMNS
from dataplane.connectors.mongodb.values import ZONED, kind
from dataplane.connectors.schema import Column
from dataplane.errors import DataError

_TYPES = {
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "objectId": "VARCHAR",
    "date": ZONED,
    "uuid": "UUID",
    "binData": "BLOB",
}
_NESTED = frozenset(("object", "array"))
_DIGITS = 38


@dataclass
class _Field:
    kinds: set[str] = field(default_factory=set)
    before: int = 0
    behind: int = 0
    endless: bool = False

    def add(self, value: Any) -> None:
        found = kind(value)
        if found:
            self.kinds.add(found)
        if found == "decimal":
            exact = value.to_decimal()
            if not exact.is_finite():
                self.endless = True
                return
            exponent = exact.as_tuple().exponent
            assert isinstance(exponent, int)
            self.behind = max(self.behind, -exponent)
            self.before = max(self.before, exact.adjusted() + 1)
        elif found == "int":
            self.before = max(self.before, len(str(abs(value))))

    def column(self, name: str) -> Column:
        native = ", ".join(sorted(self.kinds)) or "null"
        if len(self.kinds) == 1 and native in _TYPES:
            return Column(name, _TYPES[native], native=native)
        if self.kinds == {"int", "double"}:
            return Column(name, "DOUBLE", native=native)
        if self.kinds and self.kinds <= {"decimal", "int"}:
            return self._decimal(name, native)
        if self.kinds <= _NESTED:
            return Column(name, "JSON", native=native)
        if self.kinds == {"other"}:
            return Column(name, "JSON", native=native, warning="of a type that only MongoDB has; it arrives as JSON")
        return Column(name, "JSON", native=native, warning=f"holds {native}; each value arrives as JSON")

    def _decimal(self, name: str, native: str) -> Column:
        if self.endless or self.before + self.behind > _DIGITS:
            warning = "holds decimals that DECIMAL cannot; they arrive as their texts"
            return Column(name, "VARCHAR", native=native, warning=warning)
        warning = f"with more than {self.behind} decimal places a value is set aside"
        return Column(name, f"DECIMAL({_DIGITS},{self.behind})", native=native, warning=warning)


def columns_of(name: str, documents: Iterable[dict[str, Any]]) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns, `_id` first, and what has to be said of them. Raises DataError for more than memory holds."""
    fields: dict[str, _Field] = {"_id": _Field()}
    for document in documents:
        for each, value in document.items():
            fields.setdefault(each, _Field()).add(value)
        if len(fields) > MOST_COLUMNS:
            raise DataError(
                f"The documents of {name} have more than {MOST_COLUMNS:,} different fields. Keep what varies in one "
                "field of its own, as a document.",
                code="too_many_columns",
                evidence={"stream": name},
            )
    found: dict[str, Column] = {}
    left: list[str] = []
    for each, told in fields.items():
        if not each.strip() or each.casefold() in found:
            left.append(each)
        elif told.kinds or each != "_id":
            found[each.casefold()] = told.column(each)
    warnings = [f"{column.name}: {column.warning}" for column in found.values() if column.warning]
    if left:
        names = ", ".join(repr(each)[:50] for each in left[:10])
        warnings.append(f"Left out, for another field's name differs from theirs by capitals, or is empty: {names}.")
    return tuple(found.values()), tuple(warnings)
