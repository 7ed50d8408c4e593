"""Staged tables for tests: real Parquet files below a storage root of the test's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from dataplane.relations import literal
from dataplane.steps.base import ColumnType, StagedFile, StepContext, Table
from dataplane.storage import Storage
from tests.looking import looking

_numbers = count()


class Staging:
    """Writes tables into a storage and makes contexts of steps that read them."""

    def __init__(self, root: Path) -> None:
        self.storage = Storage(root.as_uri())
        self.root = root

    def table(self, *selects: str) -> Table:
        """A table whose files hold the rows of these SELECTs, one file each; its schema is that of the first."""
        files = [self._file(each) for each in selects]
        with looking() as connection:
            described = connection.execute(f"DESCRIBE {selects[0]}").fetchall()
        columns = tuple(ColumnType(row[0], row[1]) for row in described)
        return Table(columns, tuple(each for each in files if each.rows))

    def rows(self, table: Table, order: str = "ALL") -> list[tuple[Any, ...]]:
        """What the files of a table hold, read by nothing of ours."""
        return self.rows_of(table.files, order)

    def rows_of(self, files: Sequence[StagedFile], order: str = "ALL") -> list[tuple[Any, ...]]:
        if not files:
            return []
        paths = [self.storage.absolute(each.path) for each in files]
        with looking() as connection:
            return connection.execute(f"FROM read_parquet($1) ORDER BY {order}", [paths]).fetchall()

    def context(self, inputs: dict[str, Table], *, key: str = "step", **extras: Any) -> StepContext:
        number = next(_numbers)
        return StepContext(
            key=key,
            storage=self.storage,
            inputs=inputs,
            output=f"runs/r/{key}/{number}",
            spill=str(self.root / "spill" / str(number)),
            memory=1 << 30,
            threads=2,
            extras=extras,
        )

    def _file(self, select: str) -> StagedFile:
        path = f"staged/{next(_numbers)}.parquet"
        absolute = self.storage.absolute(path)
        os.makedirs(os.path.dirname(absolute), exist_ok=True)
        with looking() as connection:
            rows = connection.execute(f"COPY ({select}) TO {literal(absolute)} (FORMAT parquet)").fetchall()[0][0]
        return StagedFile(path, rows, os.path.getsize(absolute))
