"""Reading windows of messages as a run does."""

from __future__ import annotations

from typing import Any

import duckdb

from dataplane.connectors.base import Connector
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance


def read(connector: Connector, stream: StreamConfig, window: Window) -> tuple[list[Any], list[Any], Window | None]:
    """The rows, what was set aside (file, row, reason, text), and the window as it was read."""
    rows: list[Any] = []
    rejected: list[Any] = []
    with connector_instance() as duck, connector.read(stream, window, duck) as reading:
        for part in reading.parts:
            try:
                rows += duck.execute(part.query).fetchall()
            except duckdb.Error:
                assert part.careful is not None
                part = part.careful
                rows += duck.execute(part.query).fetchall()
            if part.rejects is not None:
                rejected += duck.execute(f"SELECT file, row, reason, raw FROM ({part.rejects})").fetchall()
        return rows, rejected, reading.settled


def whole(connector: Connector, stream: StreamConfig) -> Window:
    """Everything there is, as the first run reads it."""
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    return window


def declared(key: str, **types: str) -> StreamConfig:
    return StreamConfig(key, columns=tuple(Column(name, type_) for name, type_ in types.items()))


def failed(connector: Connector) -> tuple[str, str]:
    """The stage of the test that failed, and the code of its error."""
    last = list(connector.test())[-1]
    assert last.error is not None
    return last.name, last.error.code
