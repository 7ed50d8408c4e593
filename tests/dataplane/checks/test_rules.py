"""What may stand in a rule, and what cannot be asked of a table: each refusal names the place and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from dataplane.checks.rules import KINDS, Rule
from dataplane.checks.running import Check
from dataplane.errors import ConfigurationError, DataError, ManifoldError
from tests.dataplane.tables import Staging

TABLE = "SELECT 1 AS number, 'a' AS word, DATE '2013-01-01' AS day, true AS truth, 1.5::DOUBLE AS fraction"


def test_every_kind_can_be_written() -> None:
    written: list[dict[str, Any]] = [
        {"not_null": "a"},
        {"unique": ["a", "b"]},
        {"range": {"column": "a", "min": "2013-01-01"}},
        {"regex": {"column": "a", "pattern": "^x"}},
        {"accepted_values": {"column": "a", "values": [1, "x", True, 1.5]}},
        {"foreign_key": {"column": "a", "references": "other.key"}},
        {"row_count": {"max": 0}},
        {"null_fraction": {"column": "a", "max": 0.5}},
        {"expression": "a > 1"},
    ]
    rules = [Rule.model_validate(each) for each in written]
    assert tuple(each.kind for each in rules) == KINDS
    assert rules[0].written() == {"not_null": ["a"], "action": "stop"}
    assert rules[4].written()["accepted_values"]["values"] == [1, "x", True, 1.5]
    assert [each.title for each in rules[:2]] == ["not_null(a)", "unique(a, b)"]
    assert Rule.model_validate({"expression": "a  >\n 1", "name": " mine "}).title == "mine"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "has no kind"),
        ({"not_null": "a", "unique": "b"}, "exactly one kind"),
        ({"not_null": []}, "at least 1 item"),
        ({"range": {"column": "a"}}, "needs an end"),
        ({"row_count": {}}, "needs an end"),
        ({"row_count": {"min": -1}}, "greater than or equal to 0"),
        ({"row_count": {"min": 1}, "action": "quarantine"}, "cannot quarantine"),
        ({"null_fraction": {"column": "a", "max": 0.5}, "action": "quarantine"}, "cannot quarantine"),
        ({"null_fraction": {"column": "a", "max": 2}}, "less than or equal to 1"),
        ({"regex": {"column": "a", "pattern": "(?=x)"}}, "cannot be read"),
        ({"regex": {"column": "a", "pattern": "("}}, "cannot be read"),
        ({"foreign_key": {"column": "a", "references": "other"}}, "step.column"),
        ({"accepted_values": {"column": "a", "values": []}}, "at least 1 item"),
        ({"expression": "a >"}, "Line 1, column 4"),
        ({"expression": "getvariable('x')"}, "not allowed"),
        ({"not_null": "a", "action": "perhaps"}, "quarantine"),
        ({"notnull": "a"}, "not permitted"),
    ],
)
def test_what_is_no_rule_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Rule.model_validate(written)


def run(staging: Staging, written: dict[str, Any]) -> int:
    other = staging.table("SELECT 1 AS id, 'a' AS name")
    with duckdb.connect() as connection:
        check = Check(connection, staging.table(TABLE), staging.storage, {"other": other}, "steps.sound.check")
        return check.run([Rule.model_validate(written)], lambda done: None)[0].failed_rows


@pytest.mark.parametrize(
    ("written", "place", "said"),
    [
        ({"not_null": "numbr"}, "not_null", "Did you mean `number`"),
        ({"range": {"column": "word", "min": 1}}, "range.column", "VARCHAR"),
        ({"range": {"column": "number", "min": "1"}}, "range.min", "Write a number"),
        ({"range": {"column": "day", "max": 2013}}, "range.max", "Write it as text"),
        ({"range": {"column": "day", "max": "2013-13-01"}}, "range", "out of range"),
        ({"range": {"column": "truth", "max": 1}}, "range.column", "BOOLEAN"),
        ({"regex": {"column": "number", "pattern": "1"}}, "regex.column", "needs text"),
        ({"accepted_values": {"column": "number", "values": ["1"]}}, "accepted_values.values", "without quotes"),
        ({"accepted_values": {"column": "word", "values": [1]}}, "accepted_values.values", "in quotes"),
        ({"accepted_values": {"column": "day", "values": ["soon"]}}, "accepted_values", "invalid date"),
        ({"foreign_key": {"column": "number", "references": "other.name"}}, "foreign_key.references", "Cast one"),
        ({"foreign_key": {"column": "number", "references": "other.nam"}}, "foreign_key.references", "`name`"),
        ({"expression": "nowhere > 1"}, "expression", "number, word"),
        ({"expression": "number + 1"}, "expression", "not a condition"),
        ({"expression": "sum(number) > 1"}, "expression", "aggregate"),
        ({"expression": "row_number() OVER () = 1"}, "expression", "window"),
        ({"expression": "unnest([true])"}, "expression", "UNNEST"),
    ],
)
def test_a_rule_that_does_not_fit_the_table(tmp_path: Path, written: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(Staging(tmp_path), written)
    assert caught.value.message.startswith(f"steps.sound.check.rules[0].{place}: ")
    assert said.lower() in caught.value.message.lower()


def test_an_expression_that_breaks_on_a_row_is_about_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="TRY_CAST"):
        run(Staging(tmp_path), {"expression": "word::INTEGER > 0"})


@pytest.mark.parametrize(
    ("written", "failed"),
    [
        ({"range": {"column": "DAY", "min": "2013-01-01", "max": "2013-01-01"}}, 0),
        ({"accepted_values": {"column": "day", "values": ["2013-01-02"]}}, 1),
        ({"accepted_values": {"column": "truth", "values": [True]}}, 0),
        ({"range": {"column": "fraction", "max": 1.4}}, 1),
        ({"expression": "NULL"}, 0),
    ],
)
def test_other_types(tmp_path: Path, written: dict[str, Any], failed: int) -> None:
    assert run(Staging(tmp_path), written) == failed


def test_errors_are_ours(tmp_path: Path) -> None:
    """A table whose file has gone is reported by DuckDB as such, never as a fault of the rule."""
    staging = Staging(tmp_path)
    table = staging.table(TABLE)
    with duckdb.connect() as connection:
        check = Check(connection, table, staging.storage, {}, "steps.sound.check")
        staging.storage.remove(table.files[0].path)
        with pytest.raises(duckdb.IOException) as caught:
            check.run([Rule.model_validate({"not_null": "number"})], lambda done: None)
    assert not isinstance(caught.value, ManifoldError)
