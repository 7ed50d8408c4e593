"""Names, texts and staged tables as SQL. Everything that puts a name or a text into a statement goes through here."""

from __future__ import annotations

from collections.abc import Iterable

from dataplane.steps.base import ColumnType, Table
from dataplane.storage import Storage


def identifier(name: str) -> str:
    """A name as SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal. A NUL character, which no SQL text may hold, raises ValueError."""
    if "\0" in text:
        raise ValueError("A text with a NUL character cannot stand in a statement.")
    return "'" + text.replace("'", "''") + "'"


def path_list(paths: Iterable[str]) -> str:
    """Paths as an SQL list."""
    return f"[{', '.join(literal(each) for each in paths)}]"


def empty_sql(columns: Iterable[ColumnType]) -> str:
    """A SELECT without rows that has these columns."""
    items = ", ".join(f"CAST(NULL AS {each.type}) AS {identifier(each.name)}" for each in columns)
    return f"SELECT {items} WHERE false"


def relation_sql(table: Table, storage: Storage, *, positions: bool = False) -> str:
    """A staged table as one SELECT: its columns by name, in its order, in its types, over all its files.

    Files are read by column name; a column that a file lacks, or all of them, is NULL. No file is an empty table.
    positions: two more columns, `__file` (absolute path of the staged file) and `__ordinal` (0 for its first row), for
    `dataplane.provenance`.
    """
    places = [ColumnType("__file", "VARCHAR"), ColumnType("__ordinal", "BIGINT")] if positions else []
    empty = empty_sql([*table.columns, *places])
    if not table.files:
        return empty
    items = ", ".join(
        f"CAST({identifier(each.name)} AS {each.type}) AS {identifier(each.name)}" for each in [*table.columns, *places]
    )
    paths = path_list(storage.absolute(each.path) for each in table.files)
    # The reader can add both columns only under these names, and a table's own column of such a name would hide them.
    extra = ", filename = '__file', file_row_number = true" if positions else ""
    renamed = ' RENAME (file_row_number AS "__ordinal")' if positions else ""
    scan = f"SELECT *{renamed} FROM read_parquet({paths}, union_by_name = true, hive_partitioning = false{extra})"
    # The row that is never there gives a column to files that all lack it; the optimizer takes it out again.
    return f"SELECT {items} FROM ({empty} UNION ALL BY NAME {scan})"
