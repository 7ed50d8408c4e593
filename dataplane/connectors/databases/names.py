"""What a document calls a table of a database, and the ledger of the loads into it, as SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dataplane.connectors.destination import LEDGER
from dataplane.relations import identifier


@dataclass(frozen=True)
class Name:
    """Schema and table. quote: how the database writes a name. catalog: of an attached database, its own."""

    schema: str
    table: str
    quote: Callable[[str], str] = identifier
    catalog: str = ""

    @property
    def sql(self) -> str:
        return self._within(self.table)

    @property
    def ledger(self) -> str:
        return self._within(LEDGER)

    @property
    def text(self) -> str:
        return f"{self.schema}.{self.table}"

    def _within(self, name: str) -> str:
        return ".".join(self.quote(each) for each in (self.catalog, self.schema, name) if each)
