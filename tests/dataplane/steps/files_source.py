"""A folder of real files, read as a pipeline reads them: discovered, planned, extracted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Planned, Window
from dataplane.provenance import locate
from dataplane.relations import relation_sql
from dataplane.steps.base import StepContext, StepResult
from dataplane.steps.extract import ExtractSpec, ExtractStep
from dataplane.storage import Storage
from tests.looking import looking

_numbers = count()


def context(root: Path, **extras: Any) -> StepContext:
    """A context of its own below a test's folder."""
    number = next(_numbers)
    return StepContext(
        key="read",
        storage=Storage(f"file://{root}/storage"),
        inputs={},
        output=f"runs/{number}",
        spill=f"{root}/spill/{number}",
        memory=512 << 20,
        threads=2,
        extras={"seen": None, **extras},
    )


def rows(root: Path, result: StepResult) -> list[tuple[Any, ...]]:
    """The staged rows, in the order of the files."""
    assert result.table is not None
    storage = Storage(f"file://{root}/storage")
    names = ", ".join(f'"{each.name}"' for each in result.table.columns)
    query = f"SELECT {names} FROM ({relation_sql(result.table, storage, positions=True)}) ORDER BY __file, __ordinal"
    with looking() as connection:
        return connection.execute(query).fetchall()


def rejects(root: Path, result: StepResult) -> list[tuple[str, int, str, str]]:
    """The rejected rows: file, row, reason, raw."""
    assert result.table is not None
    storage = Storage(f"file://{root}/storage")
    found: list[tuple[str, int, str, str]] = []
    with looking() as connection:
        for each in result.table.rejected:
            found += connection.execute(
                f"SELECT file, row, reason, raw FROM '{storage.absolute(each.path)}'"
            ).fetchall()
    return found


def places(result: StepResult) -> list[tuple[str, int] | None]:
    """Where each staged row came from, in the order of the files."""
    assert result.table is not None
    return locate(result.table.origins, [(each.path, at) for each in result.table.files for at in range(each.rows)])


def extracted(
    root: Path,
    connector: Connector,
    stream: StreamConfig,
    window: Window | None,
    *,
    positions: bool = True,
    **spec: Any,
) -> StepResult:
    """What an extract step makes of a window, below a test's folder."""
    extras = {"connector": connector, "stream": stream, "window": window}
    step = ExtractSpec(source="drop", stream=stream.name, **spec)
    return ExtractStep.run(context(root, positions=positions, **extras), step)


@dataclass
class Drop:
    """A source folder and the connector that reads it."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "drop"

    @property
    def connector(self) -> Connector:
        return build("local_files", {"path": str(self.folder)}, roots=[str(self.root)])

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def stream(self, name: str | None = None, **settings: Any) -> StreamConfig:
        """The stream as discovered (the only one, or by name), with settings changed."""
        found = {each.name: each for each in self.connector.discover()}
        info = found[name] if name else next(iter(found.values()))
        return StreamConfig(info.name, settings={**info.settings, **settings}, columns=info.columns)

    def plan(self, stream: StreamConfig, *read: Window) -> Planned:
        mark = Mark(files=tuple(each for window in read for each in window.files))
        return self.connector.plan(stream, "incremental", mark)

    def extract(
        self, stream: StreamConfig, window: Window | None = None, *, positions: bool = True, **spec: Any
    ) -> StepResult:
        window = window or self.plan(stream).window
        return extracted(self.root, self.connector, stream, window, positions=positions, **spec)


def typed(stream: StreamConfig, **types: str) -> StreamConfig:
    """The stream with other declared types."""
    columns = tuple(replace(each, type=types.get(each.name, each.type)) for each in stream.columns)
    return replace(stream, columns=columns)
