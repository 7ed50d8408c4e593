"""Where the rows of a part of many files come from: told without a question for each file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from dataplane.connectors.files.found import Found
from dataplane.connectors.reading import SourceFile
from dataplane.fingerprints import Fingerprints
from dataplane.provenance import OriginFile
from dataplane.steps.base import StagedFile
from dataplane.steps.origins import Origins
from dataplane.storage import Storage


class Counted:
    """A connection that counts what it is asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.asked = 0

    def execute(self, statement: str) -> Any:
        self.asked += 1
        return self.connection.execute(statement)


def sources(folder: Path, number: int) -> list[SourceFile]:
    found = []
    for at in range(number):
        path = folder / f"{at:03d}.csv"
        path.write_text("id\n1\nx\n3\n" if at == 7 else "id\n1\n2\n3\n")
        ref = Found(path.name, str(path), path.stat().st_size, path.stat().st_mtime_ns).ref()
        found.append(SourceFile(ref, str(path), 2))
    return found


def test_files_of_which_nothing_was_rejected_are_not_asked_about(tmp_path: Path) -> None:
    files = sources(tmp_path, 60)
    connection: Any = Counted(duckdb.connect())
    connection.connection.execute("CREATE TABLE bad AS SELECT '007.csv' AS file, 3 AS row, 'why' AS reason, 'x' AS raw")
    with Fingerprints() as fingerprints:
        fingerprints.add(files)
        origins = Origins(connection, Storage(f"file://{tmp_path}"), fingerprints, "bad")
        staged = StagedFile("part.parquet", 179, 1)
        (origin,) = origins.of(files, staged, [2 if at == 7 else 3 for at in range(60)])
    assert origin.files[7] == OriginFile("007.csv", 2, 2, ((1, 1),))
    assert origin.files[8] == OriginFile("008.csv", 3, 2, ())
    assert connection.asked <= 4
