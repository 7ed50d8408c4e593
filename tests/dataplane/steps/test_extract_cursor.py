"""Reading by a cursor: whatever comes between two reads, and with whatever ties, arrives once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from pydantic import BaseModel

from dataplane.connectors.base import Capabilities, Connector, Stage
from dataplane.connectors.reading import Reading
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import Mark, Planned, ReadMode, Window
from dataplane.errors import ConfigurationError, DataError
from dataplane.relations import literal
from dataplane.steps.base import StepResult
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.steps.files_source import context, rows
from tests.examples import examples, try_out


class Anything(BaseModel):
    """No parameters."""


class TableSource(Connector):
    """A source in memory: rows of (cursor, text), read between two bounds as a database would."""

    key = "table"
    title = "Table"
    family = "database"
    summary = "Rows of a test."
    capabilities = Capabilities(incremental=True)
    Params = Anything

    def __init__(self, type_: str) -> None:
        super().__init__(Anything())
        self.type = type_
        self.rows: list[tuple[str | None, str | None]] = []

    def test(self) -> Iterator[Stage]:
        yield Stage("read", True, 0.0)

    def discover(self) -> list[StreamInfo]:
        return [StreamInfo("t", self.columns)]

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("moment", self.type), Column("text", "VARCHAR"))

    def plan(self, stream: StreamConfig, mode: ReadMode, mark: Mark) -> Planned:
        raise NotImplementedError

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        connection.execute(f"CREATE TEMP TABLE source (moment {self.type}, text VARCHAR)")
        if self.rows:
            connection.executemany("INSERT INTO source VALUES (?, ?)", self.rows)
        start = window.reread_from if window.reread_from is not None else window.lower
        bounds = [f"moment >= CAST({literal(start)} AS {self.type})"] if start is not None else []
        if window.upper is not None:
            bounds.append(f"moment <= CAST({literal(window.upper)} AS {self.type})")
        yield Reading(f"SELECT * FROM source WHERE {' AND '.join(bounds) or 'true'}", self.columns)

    def preview(self, stream: StreamConfig, limit: int = 50) -> pa.Table:
        raise NotImplementedError


def read(
    root: Path,
    source: TableSource,
    window: Window,
    *,
    seen: str | None = None,
    lookback: float = 0,
    held: dict[str, Any] | None = None,
) -> StepResult:
    stream = StreamConfig("t", cursor="moment", lookback=lookback)
    step = context(root, connector=source, stream=stream, window=window, seen=seen, held=held)
    return ExtractStep.run(step, ExtractSpec(source="s", stream="t", mode="incremental"))


START = datetime(2024, 1, 1)


def text_of(type_: str, tick: int) -> str:
    if type_ == "BIGINT":
        return str(tick)
    if type_ == "DATE":
        return (START + timedelta(days=tick)).date().isoformat()
    return (START + timedelta(seconds=tick)).isoformat(sep=" ")


BATCHES = st.lists(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", None, "Ü;=1:"])), max_size=8),
    min_size=2,
    max_size=5,
)
TYPES = st.sampled_from(["BIGINT", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"])


@examples(15, 60)
def test_the_loaded_rows_are_the_sources_rows(tmp_path, examples):
    """Rows come with cursors at most `lookback` behind the mark, ties and twins among them; each is loaded once."""

    def check(batches: Any, lookback: int, type_: str) -> None:
        source = TableSource(type_)
        loaded: Counter[tuple[Any, ...]] = Counter()
        mark: int | None = None
        seen: str | None = None
        for batch in batches:
            floor = 0 if mark is None else max(mark - lookback, 0)
            ticks = [(floor + tick, text) for tick, text in batch]
            source.rows += [(text_of(type_, tick), text) for tick, text in ticks]
            if not source.rows:
                continue
            upper = max([tick for tick, _ in ticks] + ([mark] if mark is not None else []), default=0)
            lower = None if mark is None else text_of(type_, mark)
            again = None if mark is None else text_of(type_, mark - lookback)
            window = Window("cursor", column="moment", lower=lower, upper=text_of(type_, upper), reread_from=again)
            result = read(tmp_path, source, window, seen=seen, lookback=lookback)
            loaded.update(rows(tmp_path, result))
            mark, seen = upper, result.facts["seen"]
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; CREATE TABLE t (moment {type_}, text VARCHAR)")
            if source.rows:
                connection.executemany("INSERT INTO t VALUES (?, ?)", source.rows)
            assert loaded == Counter(connection.execute("FROM t").fetchall())

    try_out(check, examples, batches=BATCHES, lookback=st.integers(0, 4), type_=TYPES)


def test_the_first_read_remembers_the_rows_at_the_mark(tmp_path):
    source = TableSource("BIGINT")
    source.rows = [("1", "a"), ("2", "b"), ("2", "b"), ("2", "c")]
    result = read(tmp_path, source, Window("cursor", column="moment", upper="2"))
    assert result.table is not None
    assert result.table.rows == 4
    assert result.facts["boundary_rows"] == 3
    with duckdb.connect() as connection:
        path = f"{tmp_path}/storage/{result.facts['seen']}"
        assert sorted(connection.execute(f"SELECT count FROM '{path}'").fetchall()) == [(1,), (2,)]


def test_a_third_twin_that_comes_late_is_one_new_row(tmp_path):
    source = TableSource("BIGINT")
    source.rows = [("2", "b"), ("2", "b")]
    first = read(tmp_path, source, Window("cursor", column="moment", upper="2"))
    source.rows.append(("2", "b"))
    window = Window("cursor", column="moment", lower="2", upper="2", reread_from="2")
    second = read(tmp_path, source, window, seen=first.facts["seen"])
    assert rows(tmp_path, second) == [(2, "b")]
    assert second.facts["boundary_rows"] == 3


def test_a_window_read_again_stages_the_same_rows(tmp_path):
    source = TableSource("BIGINT")
    source.rows = [("1", "a"), ("2", "b")]
    first = read(tmp_path, source, Window("cursor", column="moment", upper="2"))
    source.rows += [("2", "late"), ("3", "c")]
    window = Window("cursor", column="moment", lower="2", upper="3", reread_from="2")
    again = [sorted(rows(tmp_path, read(tmp_path, source, window, seen=first.facts["seen"]))) for _ in range(2)]
    assert again[0] == again[1] == [(2, "late"), (3, "c")]


def held_of(result: StepResult) -> dict[str, Any]:
    """What a window remembers that a load has taken."""
    facts = result.facts
    memory = {"seen": facts["seen"] or "", "hashed": facts["hashed"]}
    return {**memory, "since": facts["seen_from"], "rows": facts["boundary_rows"]}


@examples(5, 40)
def test_a_window_that_is_loaded_in_part_is_read_as_before(tmp_path, examples):
    """What has come to its end since is left to the next window, which brings it to all."""

    def check(batches: Any, lookback: int, type_: str) -> None:
        source = TableSource(type_)
        first, late, *_ = batches
        source.rows = [(text_of(type_, tick), text) for tick, text in [(0, "a"), *first]]
        upper = max([0, *(tick for tick, _ in first)])
        window = Window("cursor", column="moment", upper=text_of(type_, upper))
        before = read(tmp_path, source, window, lookback=lookback)
        floor = max(upper - lookback, 0)
        source.rows += [(text_of(type_, min(floor + tick, upper)), text) for tick, text in late]
        again = read(tmp_path, source, window, lookback=lookback, held=held_of(before))
        assert Counter(rows(tmp_path, again)) == Counter(rows(tmp_path, before))
        assert again.facts["known"] == len(late)
        assert again.facts["boundary_rows"] == before.facts["boundary_rows"]
        window = Window(
            "cursor", column="moment", lower=window.upper, upper=window.upper, reread_from=text_of(type_, floor)
        )
        after = read(tmp_path, source, window, seen=again.facts["seen"] or "", lookback=lookback)
        assert len(rows(tmp_path, after)) == len(late)

    try_out(check, examples, batches=BATCHES, lookback=st.integers(0, 4), type_=TYPES)


def test_what_has_come_to_a_window_that_is_loaded_in_part_is_told_by_its_columns(tmp_path):
    source = TableSource("BIGINT")
    source.rows = [("1", "a"), ("2", "b")]
    window = Window("cursor", column="moment", upper="2")
    held = held_of(read(tmp_path, source, window))
    held["hashed"] = [*held["hashed"], "gone"]
    source.rows[1] = ("2", "mended")
    assert rows(tmp_path, read(tmp_path, source, window, held=held)) == [(1, "a"), (2, "mended")]
    source.rows.append(("2", "c"))
    with pytest.raises(DataError, match=r"1 rows have come .* without the column gone") as caught:
        read(tmp_path, source, window, held=held)
    assert caught.value.code == "closed_window_differs"


def test_rows_without_a_cursor_are_not_read(tmp_path):
    source = TableSource("BIGINT")
    source.rows = [("1", "a"), (None, "lost")]
    result = read(tmp_path, source, Window("cursor", column="moment"))
    assert rows(tmp_path, result) == [(1, "a")]


def test_without_memory_of_the_mark_nothing_at_it_is_taken_again(tmp_path):
    source = TableSource("BIGINT")
    source.rows = [("1", "a"), ("2", "b"), ("3", "c")]
    result = read(tmp_path, source, Window("cursor", column="moment", lower="2", upper="3", reread_from="2"))
    assert rows(tmp_path, result) == [(3, "c")]


class Naming(TableSource):
    """A source that says in its own words what DuckDB says of a value."""

    @contextmanager
    def read(self, stream: StreamConfig, window: Window, connection: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
        try:
            yield Reading("SELECT CAST('x' AS INTEGER) AS moment, '' AS text", self.columns)
        except DataError as error:
            raise DataError(type(error.__cause__).__name__, code="value") from error


def test_a_source_is_told_what_duckdb_said_of_a_value(tmp_path):
    with pytest.raises(DataError, match="ConversionException"):
        read(tmp_path, Naming("BIGINT"), Window("full"))


def test_the_cursor_has_to_be_among_the_columns(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, TableSource("BIGINT"), Window("cursor", column="elsewhere", upper="1"))
    assert caught.value.code == "cursor_not_selected"


def test_dates_look_back_whole_days(tmp_path):
    source = TableSource("DATE")
    source.rows = [("2024-01-01", "a"), ("2024-01-03", "b")]
    result = read(tmp_path, source, Window("cursor", column="moment", upper="2024-01-03"), lookback=2 * 86400)
    assert result.facts["boundary_rows"] == 2
