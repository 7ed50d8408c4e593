"""Rows that were set aside: files of several steps, each with columns of its own."""

from __future__ import annotations

from collections.abc import Sequence

from dataplane.engine import connector_instance
from dataplane.failures import duckdb_errors
from dataplane.relations import path_list
from dataplane.steps.base import ColumnType, StagedFile
from dataplane.storage import Storage


def described(files: Sequence[StagedFile], storage: Storage) -> tuple[ColumnType, ...]:
    """The columns that these files have between them, in types that hold the values of all; none for no file."""
    if not files:
        return ()
    paths = path_list(storage.absolute(each.path) for each in files)
    with duckdb_errors(), connector_instance(threads=1) as connection:
        found = connection.execute(f"DESCRIBE FROM read_parquet({paths}, union_by_name = true)").fetchall()
    return tuple(ColumnType(str(row[0]), str(row[1])) for row in found)
