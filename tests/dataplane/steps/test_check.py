"""The check step from staged files to staged files."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.checks.outcome import CheckFailed
from dataplane.errors import CancelledError
from dataplane.provenance import Origin, OriginFile
from dataplane.steps.base import REJECTED_COLUMNS, StepContext, StepResult, Table
from dataplane.steps.check import CheckSpec, CheckStep
from tests.dataplane.tables import Staging

FIRST = "SELECT i, CASE WHEN i % 10 = 0 THEN NULL ELSE 'w' || i END AS word, i % 3 AS k FROM range(50) r(i)"
SECOND = "SELECT i + 50 AS i, 'w' || i AS word, i % 3 AS k FROM range(50) r(i)"


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path)


@pytest.fixture
def table(staging: Staging) -> Table:
    return staging.table(FIRST, SECOND)


def run(staging: Staging, table: Table, *rules: dict[str, Any], **references: Table) -> StepResult:
    inputs = {"input": table, **{f"references.{name}": each for name, each in references.items()}}
    spec = CheckSpec.model_validate({"input": "before", "rules": rules})
    return CheckStep.run(staging.context(inputs, key="sound"), spec)


def test_it_works(staging: Staging, table: Table) -> None:
    known = staging.table("SELECT 0 AS id UNION ALL SELECT 1 UNION ALL SELECT 2")
    result = run(
        staging,
        table,
        {"unique": "i"},
        {"row_count": {"min": 100, "max": 100}},
        {"foreign_key": {"column": "k", "references": "known.id"}},
        known=known,
    )
    assert result.table == table, "the input's own files go on"
    assert [each["passed"] for each in result.checks] == [True, True, True]
    assert result.facts == {"warned": False, "quarantined": 0}
    assert result.rows_in == 100


def test_a_failed_rule_that_stops_keeps_every_outcome(staging: Staging, table: Table) -> None:
    with pytest.raises(CheckFailed) as caught:
        run(
            staging,
            table,
            {"not_null": "word"},
            {"range": {"column": "i", "max": 98}, "action": "warn"},
            {"unique": "i"},
        )
    error = caught.value
    assert (error.error_class, error.code, error.retryable) == ("data", "check_failed", False)
    assert [each["passed"] for each in error.outcomes] == [False, False, True]
    assert "5 of 100 rows (5.00%)" in error.message and "row 1" in error.message
    assert [each["row"] for each in error.outcomes[0]["samples"]] == [1, 11, 21, 31, 41]
    assert error.outcomes[0]["samples"][0] == {"file": None, "row": 1, "values": {"i": 0, "word": None, "k": 0}}
    assert error.evidence["checks"] == error.outcomes[:1]
    assert {each.id for each in error.suggestions} == {"fix_source", "quarantine", "warn"}
    json.dumps(error.as_json())


def test_a_warning_lets_the_rows_pass(staging: Staging, table: Table) -> None:
    result = run(staging, table, {"null_fraction": {"column": "word", "max": 0.01}, "action": "warn"})
    assert result.table == table
    assert result.facts["warned"]
    assert (result.checks[0]["failed_rows"], result.checks[0]["fraction"]) == (5, 0.05)


def test_quarantine_takes_bad_rows_out_once_with_all_reasons(staging: Staging, table: Table) -> None:
    result = run(
        staging,
        table,
        {"not_null": "word", "action": "quarantine"},
        {"unique": "word", "action": "quarantine", "name": "one of each"},
        {"expression": "i NOT IN (0, 99)", "action": "quarantine"},
    )
    assert result.table is not None
    assert result.facts == {"warned": True, "quarantined": 50}
    assert [each["failed_rows"] for each in result.checks] == [5, 45, 2]
    rejected = staging.rows_of(result.table.rejected, "row")
    assert [row for _, row, *_ in rejected[:3]] == [1, 11, 21]
    assert rejected[0][2:] == ("not_null(word); i NOT IN (0, 99)", '{"i":0,"word":null,"k":0}')
    assert rejected[-1][2] == "one of each; i NOT IN (0, 99)"
    kept = staging.rows(result.table)
    assert len(kept) + len(rejected) == 100
    every = {row[0] for row in kept} | {json.loads(raw)["i"] for *_, raw in rejected}
    assert every == set(range(100))
    assert len({word for _, word, _ in kept}) == len(kept)
    assert {each.path for each in table.files}.isdisjoint(each.path for each in result.table.files)
    assert [each.name for each in REJECTED_COLUMNS] == ["file", "row", "reason", "raw"]


def test_every_row_in_quarantine_leaves_an_empty_table(staging: Staging, table: Table) -> None:
    result = run(staging, table, {"range": {"column": "i", "max": -1}, "action": "quarantine"})
    assert result.table is not None
    assert (result.table.files, result.table.columns, result.facts["quarantined"]) == ((), table.columns, 100)


def test_rows_are_named_by_their_line_in_the_source(staging: Staging, table: Table) -> None:
    # jan.csv has a header, and a line was rejected before its 11th row; feb.csv's first row stands on its 5th line.
    january = OriginFile("jan.csv", 30, 2, ((10, 1),))
    february = OriginFile("feb.csv", 20, 2, ((0, 3),))
    followed = Table(table.columns, table.files, origins=(Origin(table.files[0].path, (january, february)),))
    rule = {"expression": "i NOT IN (9, 10, 30, 49, 50)", "action": "quarantine"}
    result = run(staging, followed, rule)
    assert result.table is not None
    wanted = [("jan.csv", 11), ("jan.csv", 13), ("feb.csv", 5), ("feb.csv", 24), (None, 51)]
    assert [(each["file"], each["row"]) for each in result.checks[0]["samples"]] == wanted
    assert sorted(row[:2] for row in staging.rows_of(result.table.rejected) if row[0]) == sorted(wanted[:4])


def test_a_second_check_names_the_same_lines(staging: Staging, table: Table) -> None:
    january = OriginFile("jan.csv", 30, 2, ((10, 1),))
    february = OriginFile("feb.parquet", 20)
    origins = [Origin(table.files[0].path, (january, february)), Origin(table.files[1].path, (OriginFile("x", 50, 2),))]
    followed = Table(table.columns, table.files, origins=tuple(origins))
    first = run(staging, followed, {"expression": "i % 3 <> 0 AND i <> 10 AND i < 98", "action": "quarantine"})
    assert first.table is not None and first.facts["quarantined"] == 36
    second = run(staging, first.table, {"expression": "i NOT IN (1, 11, 31, 49, 50, 97)", "action": "quarantine"})
    found = [(each["file"], each["row"]) for each in second.checks[0]["samples"]]
    assert found == [("jan.csv", 3), ("jan.csv", 14), ("feb.parquet", 2), ("feb.parquet", 20), ("x", 2), ("x", 49)]
    assert second.table is not None
    assert sorted(row[:2] for row in staging.rows_of(second.table.rejected)) == sorted(found)


@given(st.data())
def test_rows_keep_their_lines_whichever_have_left(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 30))
    ordinals = st.sets(st.integers(0, rows - 1))
    steps = sorted(data.draw(ordinals))
    shifts = tuple((at, more) for more, at in enumerate(steps, 1))
    file = OriginFile("a", rows, data.draw(st.none() | st.integers(1, 3)), shifts)
    gone = sorted(data.draw(ordinals))
    left = file.without(gone)
    stay = [each for each in range(rows) if each not in gone]
    assert [left.row(each) for each in range(left.rows)] == [file.row(each) for each in stay]


def test_an_empty_table_passes_and_fails_as_it_should(staging: Staging) -> None:
    empty = staging.table("SELECT 1 AS i, 'a' AS word, 1 AS k WHERE false")
    assert empty.files == ()
    result = run(staging, empty, {"not_null": "i"}, {"unique": "i"}, {"null_fraction": {"column": "i", "max": 0}})
    assert [each["fraction"] for each in result.checks] == [0, 0, 0]
    with pytest.raises(CheckFailed, match="has 0 rows and should have at least 1"):
        run(staging, empty, {"row_count": {"min": 1}})


def test_samples_hold_what_json_can_hold(staging: Staging) -> None:
    odd = staging.table(
        "SELECT 1 AS i, chr(0) || 'x' AS word, 'nan'::DOUBLE AS f, '\\xFF'::BLOB AS b, repeat('y', 1000) AS long, "
        "[1, 2] AS list, 12345678901234567890.5::DECIMAL(30, 1) AS d"
    )
    result = run(staging, odd, {"range": {"column": "i", "max": 0}, "action": "quarantine"})
    values = result.checks[0]["samples"][0]["values"]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert (values["word"], values["f"], len(values["long"])) == ("\ufffdx", "nan", 200)
    assert result.table is not None
    raw = json.loads(staging.rows_of(result.table.rejected)[0][3])
    assert (raw["f"], len(raw["long"]), raw["list"]) == ("nan", 1000, [1, 2])


def test_an_interrupt_cancels(staging: Staging, table: Table) -> None:
    big = staging.table("SELECT i, md5(i::VARCHAR) AS word FROM range(300000) r(i)")
    context = staging.context({"input": big})
    spec = CheckSpec.model_validate(
        {"input": "x", "rules": [{"expression": "length(md5(md5(md5(word)))) > 0", "name": str(n)} for n in range(40)]}
    )
    # Again and again, for an interrupt that meets no query is forgotten.
    stopper = threading.Thread(target=_interrupt, args=(context,))
    stopper.start()
    with pytest.raises(CancelledError):
        CheckStep.run(context, spec)
    stopper.join()
    assert context.interrupts == []


def _interrupt(context: StepContext) -> None:
    while not context.interrupts:
        time.sleep(0.001)
    while context.interrupts:
        for each in list(context.interrupts):
            with contextlib.suppress(duckdb.ConnectionException):  # closed between the look and the call
                each()
        time.sleep(0.01)
