"""Every rule against an independent version in plain Python, on tables that hypothesis makes up.

`MANIFOLD_RULE_CASES` asks for more cases of each rule than `make test` has time for.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.checks.rules import Rule
from dataplane.checks.running import Check
from dataplane.steps.base import ColumnType, StagedFile, Table
from dataplane.storage import Storage

CASES = int(os.environ.get("MANIFOLD_RULE_CASES", "30"))

INTEGERS = st.none() | st.integers(-3, 3)
FLOATS = st.none() | st.sampled_from([-1.5, -0.0, 0.0, 0.1, 0.5, 1.0, 2.5, float("nan"), float("inf"), float("-inf")])
TEXTS = st.none() | st.sampled_from(["", "a", "b", "A", "ab", "a b", "é", "ééé", "x\ny", "a\n", "ß", "'", "=1", "7"])
DECIMALS = st.none() | st.sampled_from([Decimal("0.10"), Decimal("0.30"), Decimal("-2.00"), Decimal("9.99")])

Row = dict[str, Any]
ROWS = st.lists(
    st.fixed_dictionaries({"i": INTEGERS, "j": INTEGERS, "f": FLOATS, "t": TEXTS, "d": DECIMALS}), max_size=25
)
ENDS = st.tuples(st.integers(0, 10), st.integers(0, 25))
NUMBERS = count()
SCHEMA = pa.schema(
    [("i", pa.int32()), ("j", pa.int64()), ("f", pa.float64()), ("t", pa.string()), ("d", pa.decimal128(9, 2))]
)
COLUMNS = (
    ColumnType("i", "INTEGER"),
    ColumnType("j", "BIGINT"),
    ColumnType("f", "DOUBLE"),
    ColumnType("t", "VARCHAR"),
    ColumnType("d", "DECIMAL(9,2)"),
)

Expected = Callable[[list[Row]], list[int]]
"""The positions of the rows that fail."""


def failing(condition: Callable[[Row], bool]) -> Expected:
    return lambda rows: [position for position, row in enumerate(rows) if condition(row)]


def surplus(names: tuple[str, ...]) -> Expected:
    """Every row after the first with the same key; a key with a NULL in it is no key. NaN equals NaN, -0 equals 0."""

    def plain(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return "nan" if math.isnan(value) else value + 0.0

    def expected(rows: list[Row]) -> list[int]:
        seen: Counter[tuple[Any, ...]] = Counter()
        found = []
        for position, row in enumerate(rows):
            key = tuple(plain(row[name]) for name in names)
            if None in key:
                continue
            if seen[key]:
                found.append(position)
            seen[key] += 1
        return found

    return expected


def outside(name: str, low: Any, high: Any) -> Expected:
    def condition(row: Row) -> bool:
        value = row[name]
        if value is None:
            return False
        return math.isnan(value) or (low is not None and value < low) or (high is not None and value > high)

    return failing(condition)


def missing(*names: str) -> Expected:
    return failing(lambda row: any(row[name] is None for name in names))


def unmatched(pattern: str) -> Expected:
    # `$` is the very end for RE2, and Python's \Z.
    python = re.compile(pattern.replace("$", r"\Z"))
    return failing(lambda row: row["t"] is not None and python.search(row["t"]) is None)


def not_among(name: str, values: set[Any]) -> Expected:
    return failing(lambda row: row[name] is not None and row[name] not in values)


REFERENCE: list[Row] = [{"i": 1, "t": "a"}, {"i": 2, "t": "é"}, {"i": None, "t": None}]

RULES: list[tuple[dict[str, Any], Expected]] = [
    ({"not_null": ["i"]}, missing("i")),
    ({"not_null": ["i", "t"]}, missing("i", "t")),
    ({"unique": ["i"]}, surplus(("i",))),
    ({"unique": ["f"]}, surplus(("f",))),
    ({"unique": ["i", "t"]}, surplus(("i", "t"))),
    ({"range": {"column": "i", "min": -1, "max": 2}}, outside("i", -1, 2)),
    ({"range": {"column": "i", "min": 0.5}}, outside("i", 0.5, None)),
    ({"range": {"column": "f", "min": 0}}, outside("f", 0, None)),
    ({"range": {"column": "f", "max": 0.1}}, outside("f", None, 0.1)),
    ({"range": {"column": "d", "min": 0.1, "max": 0.3}}, outside("d", Decimal("0.1"), Decimal("0.3"))),
    ({"regex": {"column": "t", "pattern": "^[a-b]+$"}}, unmatched("^[a-b]+$")),
    ({"regex": {"column": "t", "pattern": "é"}}, unmatched("é")),
    ({"regex": {"column": "t", "pattern": "^.{1,2}$"}}, unmatched("^.{1,2}$")),
    ({"accepted_values": {"column": "t", "values": ["a", "é", "'"]}}, not_among("t", {"a", "é", "'"})),
    ({"accepted_values": {"column": "i", "values": [1, 2.0, 2.5]}}, not_among("i", {1, 2})),
    ({"accepted_values": {"column": "d", "values": [0.1, 9.99]}}, not_among("d", {Decimal("0.1"), Decimal("9.99")})),
    ({"foreign_key": {"column": "t", "references": "known.t"}}, not_among("t", {"a", "é"})),
    ({"foreign_key": {"column": "j", "references": "known.i"}}, not_among("j", {1, 2})),
    (
        {"expression": "i > j"},
        failing(lambda row: row["i"] is not None and row["j"] is not None and not row["i"] > row["j"]),
    ),
    (
        {"expression": "i IS NULL OR t IS NOT NULL"},
        failing(lambda row: row["i"] is not None and row["t"] is None),
    ),
]


@pytest.fixture(scope="module")
def duck() -> Any:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    known = pa.Table.from_pylist(REFERENCE, pa.schema([("i", pa.int32()), ("t", pa.string())]))
    pq.write_table(known, folder / "known")
    return folder


def staged(rows: list[Row], root: Path, split: int) -> Table:
    """The rows in two files, so that positions cross from one to the next."""
    files = []
    for part in (rows[:split], rows[split:]):
        # A path is written once: DuckDB keeps what it has read of a file.
        name = f"{next(NUMBERS)}.parquet"
        pq.write_table(pa.Table.from_pylist(part, SCHEMA), root / name)
        if part:
            files.append(StagedFile(name, len(part), 1))
    return Table(COLUMNS, tuple(files))


def checker(rows: list[Row], root: Path, split: int, duck: Any) -> Check:
    known = Table((ColumnType("i", "INTEGER"), ColumnType("t", "VARCHAR")), (StagedFile("known", len(REFERENCE), 1),))
    return Check(duck, staged(rows, root, split), Storage(root.as_uri()), {"known": known}, "steps.sound.check")


@pytest.mark.parametrize("case", RULES, ids=[str(each) for each, _ in RULES])
@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, split=st.integers(0, 25))
def test_a_rule_finds_what_python_finds(
    case: tuple[dict[str, Any], Expected], rows: list[Row], split: int, root: Path, duck: Any
) -> None:
    written, expected = case
    check = checker(rows, root, split, duck)
    rule = Rule.model_validate({**written, "action": "quarantine"})
    outcome = check.run([rule], lambda done: None)[0]
    bad = expected(rows)
    assert (outcome.failed_rows, outcome.total_rows, outcome.passed) == (len(bad), len(rows), not bad)
    assert [each["row"] for each in outcome.samples] == [position + 1 for position in bad[:20]]
    assert [each["values"]["i"] for each in outcome.samples] == [rows[position]["i"] for position in bad[:20]]
    if bad:
        check.tell_apart([outcome])
        check.know_places()
        aside = duck.execute(check.bad()).fetchall()
        assert [row for _, row, *_ in aside] == [position + 1 for position in bad]
        good = duck.execute(check.good()).fetchall()
        wanted = [row for position, row in enumerate(rows) if position not in set(bad)]
        assert sorted(map(repr, good)) == sorted(repr(tuple(row[each.name] for each in COLUMNS)) for row in wanted)


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=ROWS, limit=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), ends=st.tuples(st.integers(0, 10), st.integers(0, 25))
)
def test_rules_on_the_whole_table(rows: list[Row], limit: float, ends: tuple[int, int], root: Path, duck: Any) -> None:
    least, most = ends
    check = checker(rows, root, 5, duck)
    nulls = sum(row["t"] is None for row in rows)
    fraction = check.run([Rule.model_validate({"null_fraction": {"column": "t", "max": limit}})], lambda done: None)[0]
    assert fraction.failed_rows == nulls
    assert fraction.passed == (not rows or nulls / len(rows) <= limit)
    count = check.run([Rule.model_validate({"row_count": {"min": least, "max": most}})], lambda done: None)[0]
    assert (count.passed, count.total_rows) == (least <= len(rows) <= most, len(rows))
