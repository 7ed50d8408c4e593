"""The statements of a merge: a table `t` takes the rows `r` that were sent, each in place of the one with its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from dataplane.connectors.databases.declared import Described
from dataplane.connectors.destination import Load, Loaded, key_twice
from dataplane.steps.base import ColumnType


class Taken(Protocol):
    """A column that arrives and the table's column that takes it."""

    @property
    def column(self) -> ColumnType:
        """As it arrives."""

    @property
    def there(self) -> Described:
        """The table's own."""

    @property
    def name(self) -> str:
        """The table's column, as SQL."""

    @property
    def value(self) -> str:
        """The value of a row `r` as the table takes it, as SQL."""

    @property
    def differs(self) -> str:
        """SQL that is true where a row `t` holds another value than its `r`."""


Into = TypeVar("Into", bound=Taken)


@dataclass(frozen=True)
class Merge(Generic[Into]):
    """One merge. sent: where the rows are, each key once. inserting: what an INSERT says between its columns and its
    SELECT. shown: how a value is written as a text."""

    load: Load
    table: str
    sent: str
    into: tuple[Into, ...]
    inserting: str = ""
    shown: str = "{}"

    @property
    def by(self) -> list[Into]:
        """What the merge goes by."""
        keys = {each.lower() for each in self.load.by}
        return [each for each in self.into if each.column.name.lower() in keys]

    @property
    def others(self) -> list[Into]:
        by = self.by
        return [each for each in self.into if each not in by]

    @property
    def same(self) -> str:
        """SQL that is true for a row `t` and the `r` with its key."""
        return " AND ".join(f"t.{each.name} = {each.value}" for each in self.by)

    @property
    def differs(self) -> str:
        return " OR ".join(each.differs for each in self.others)

    @property
    def missing(self) -> str:
        """SQL that is true for a row `t` that was not sent."""
        return f"NOT EXISTS (SELECT 1 FROM {self.sent} r WHERE {self.same})"

    @property
    def delete(self) -> str:
        return f"DELETE FROM {self.table} t WHERE {self.missing}"

    @property
    def update(self) -> str:
        sets = ", ".join(f"{each.name} = {each.value}" for each in self.others)
        return f"UPDATE {self.table} t SET {sets} FROM {self.sent} r WHERE {self.same} AND ({self.differs})"

    @property
    def insert(self) -> str:
        """All rows that were sent."""
        names = ", ".join(each.name for each in self.into)
        values = ", ".join(each.value for each in self.into)
        return f"INSERT INTO {self.table} ({names}){self.inserting} SELECT {values} FROM {self.sent} r"

    @property
    def insert_absent(self) -> str:
        return f"{self.insert} WHERE NOT EXISTS (SELECT 1 FROM {self.table} t WHERE {self.same})"

    def refuse_doubled(self, ask: Callable[[str], Iterable[tuple[Any, ...]]]) -> None:
        """Raises DataError where the table itself holds a key twice; `ask` runs a SELECT."""
        columns = [f"t.{each.name}" for each in self.by]
        found = ask(
            f"SELECT {', '.join(map(self.shown.format, columns))}, count(*) FROM {self.table} t JOIN {self.sent} r "
            f"ON {self.same} GROUP BY {', '.join(columns)} HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
        )
        for *values, rows in found:
            names = [each.there.name for each in self.by]
            raise key_twice(self.load, list(zip(names, values, strict=True)), int(rows))

    def run(self, change: Callable[[str], int], rows: int) -> Loaded:
        """Merge so many rows. `change` runs a statement and says how many rows it has changed."""
        deleted = change(self.delete) if self.load.delete_missing else 0
        updated = change(self.update) if self.others else 0
        inserted = change(self.insert_absent)
        return Loaded("loaded", inserted, updated, deleted, rows - inserted - updated)
