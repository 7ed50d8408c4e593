"""What differs inside nested types, told where it is."""

from __future__ import annotations

import pytest

from dataplane import drift
from dataplane.connectors.schema import Column
from dataplane.nested import differences


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("STRUCT(zip VARCHAR, b INT)", "STRUCT(b INT, zip BIGINT)", [(".zip", "VARCHAR", "BIGINT")]),
        ("STRUCT(a INT)[]", "STRUCT(a INT, sku DATE)[]", [("[].sku", "", "DATE")]),
        (
            "STRUCT(p STRUCT(x INT, y INT)[])",
            "STRUCT(p STRUCT(x INT)[], q INT[])",
            [(".q", "", "INTEGER[]"), (".p[].y", "INTEGER", "")],
        ),
        ("MAP(VARCHAR, STRUCT(a INT))", "MAP(VARCHAR, STRUCT(a DATE))", [("{}.a", "INTEGER", "DATE")]),
        ("MAP(VARCHAR, INT)", "MAP(INT, INT)", []),
        ('STRUCT("a b" INT)', 'STRUCT("a b" INT[])', [(".a b", "INTEGER", "INTEGER[]")]),
        ("STRUCT(a INT)", "STRUCT(a INT)[]", []),
        ("STRUCT(a INT)", "objectId, string", []),
        ("Array(Tuple(a UInt8))", "Array(Tuple(a UInt16))", []),
        ("VARCHAR", "BIGINT", []),
        ("text[]", "integer[]", []),
        ("Map(String, Float)", "Map(String, Double)", []),
    ],
    ids=["retyped", "added", "deep", "map", "keys", "name", "list", "none", "other", "flat", "its list", "its map"],
)
def test_what_differs_is_told_where_it_is(before: str, after: str, found: list[tuple[str, str, str]]) -> None:
    assert differences(before, after) == found
    assert bool(differences(after, before)) == bool(found)


def test_a_nested_column_says_what_became_of_its_parts() -> None:
    types = ("STRUCT(street VARCHAR, zip VARCHAR)", "STRUCT(zip BIGINT, city VARCHAR)")
    was, now = (Column("address", type_, native=type_) for type_ in types)
    (change,) = drift.compared([was], [now])
    assert (change.kind, change.column, change.before, change.after) == ("retyped", "address", *types)
    assert change.said == (
        "address.city is new (VARCHAR); address.street has gone; address.zip is BIGINT, it was VARCHAR"
    )
    assert [(each.kind, each.column) for each in change.inside] == [
        ("added", "address.city"),
        ("removed", "address.street"),
        ("retyped", "address.zip"),
    ]
