"""What differs from one product's SQL to the next: names, types, constants, and where its catalogue stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from dataplane.connectors.warehouses.types import Arrival, Expression, Native, declared


class Dialect(ABC):
    """One product's SQL. `product` is its name for people, `grammar` the one that sqlglot knows it by."""

    product: str
    grammar: str
    hidden: tuple[str, ...] = ("information_schema",)
    """Schemas of the server's own."""

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def text_constant(self, value: str) -> str:
        """A text as SQL."""
        return "'" + value.replace("'", "''") + "'"

    def table(self, schema: str, name: str) -> str:
        return f"{self.quoted(schema)}.{self.quoted(name)}"

    def subquery(self, query: str) -> str:
        """An operator's query as a table. The line break ends a comment in its last line."""
        return f"(\n{query}\n) AS stream"

    def limited(self, items: str, rest: str, rows: int) -> str:
        """A SELECT of at most so many rows. rest: from FROM on."""
        return f"SELECT {items} {rest} LIMIT {rows}"

    @abstractmethod
    def natural(self, column: Native) -> Arrival:
        """How a column is read as it is found."""

    def arrival(self, column: Native, wanted: str | None = None) -> Arrival:
        """How it is read, as found or in the type that an operator declared. Raises ConfigurationError."""
        return declared(self.natural(column), wanted)

    @abstractmethod
    def constant(self, column: Native, value: str) -> str:
        """A value of a column that is a cursor, as DuckDB writes it, as SQL that is compared with the column."""

    def bytewise(self, column: Native) -> Expression | None:
        """What a text or UUID is compared as, so that it has DuckDB's order, whatever rules its column has.

        Of texts that is the order of their bytes in UTF-8. None for types that are no cursors.
        """
        return None

    @abstractmethod
    def relations(self, schemas: Sequence[str]) -> str:
        """The tables and views: schema, name, kind (table or view), rows or NULL, bytes or NULL."""

    @abstractmethod
    def columns(self, schemas: Sequence[str], table: str = "") -> str:
        """Their columns in order: schema, table, name, type in the server's words, YES where it may be NULL."""

    def keys(self, schemas: Sequence[str]) -> str:
        """Columns of primary keys in order: schema, table, name; empty where the server knows none."""
        return ""

    def not_null(self, table: str, column: Native) -> str:
        """The statement that keeps NULL out of a column; empty where there is none."""
        return ""

    def grant(self, table: str, user: str) -> str:
        """The statement that lets a user read a table."""
        return f"GRANT SELECT ON {table} TO {self.quoted(user)};"

    def chosen(self, column: str, schemas: Sequence[str]) -> str:
        """The condition that a schema is one of those that are looked at."""
        names = schemas or self.hidden
        listed = ", ".join(self.text_constant(each) for each in names)
        return f"{column} {'' if schemas else 'NOT '}IN ({listed})"


class InformationSchema(Dialect):
    """A product whose catalogue is the standard's `information_schema`."""

    catalogue = "information_schema"
    described = "data_type"
    """The type in the server's words, of `information_schema.columns c`."""
    sizes = ("NULL", "NULL")
    """Rows and bytes, of `information_schema.tables t`."""

    def relations(self, schemas: Sequence[str]) -> str:
        rows, size = self.sizes
        return (
            f"SELECT t.table_schema, t.table_name, CASE WHEN t.table_type LIKE '%VIEW%' THEN 'view' ELSE 'table' END, "
            f"{rows}, {size} FROM {self.catalogue}.tables t WHERE {self.chosen('t.table_schema', schemas)} "
            "ORDER BY t.table_schema, t.table_name"
        )

    def columns(self, schemas: Sequence[str], table: str = "") -> str:
        only = f" AND c.table_name = {self.text_constant(table)}" if table else ""
        return (
            f"SELECT c.table_schema, c.table_name, c.column_name, {self.described}, c.is_nullable "
            f"FROM {self.catalogue}.columns c WHERE {self.chosen('c.table_schema', schemas)}{only} "
            "ORDER BY c.table_schema, c.table_name, c.ordinal_position"
        )

    def keys(self, schemas: Sequence[str]) -> str:
        return (
            "SELECT k.table_schema, k.table_name, k.column_name "
            f"FROM {self.catalogue}.table_constraints t JOIN {self.catalogue}.key_column_usage k "
            "ON k.constraint_name = t.constraint_name AND k.table_schema = t.table_schema "
            "AND k.table_name = t.table_name "
            f"WHERE t.constraint_type = 'PRIMARY KEY' AND {self.chosen('t.table_schema', schemas)} "
            "ORDER BY k.table_schema, k.table_name, k.ordinal_position"
        )
