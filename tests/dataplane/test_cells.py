"""Rows for people: what is nested is JSON, exact and with its names."""

from __future__ import annotations

import duckdb
import pytest

from dataplane.cells import rows_of


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("{'a': 1, 'b': [DATE '2020-01-01', NULL]}", '{"a":1,"b":["2020-01-01",null]}'),
        (
            "[{'sku': 'x\"y', 'sum': 123456789012345.25::DECIMAL(38, 2)}]",
            '[{"sku":"x\\"y","sum":123456789012345.25}]',
        ),
        ("MAP {1: 'one'}", '{"1":"one"}'),
        ("['a', NULL]", '["a",null]'),
        ("['2020-01-01 10:00:00+02'::TIMESTAMPTZ]", '["2020-01-01 08:00:00+00"]'),
        ("CAST(NULL AS INTEGER[])", None),
        ("'[1, 2]'", "[1, 2]"),
        ("1.50::DECIMAL(5, 2)", "1.50"),
    ],
    ids=["struct", "structs", "map", "list", "times", "null", "text", "decimal"],
)
def test_a_nested_value_is_json_and_all_else_as_before(value: str, shown: str | None) -> None:
    _, rows = rows_of(duckdb.sql(f"SELECT {value} AS v").to_arrow_table())
    assert rows == [[shown]]
