"""What a column of MySQL would change without a word is refused before it is sent."""

from __future__ import annotations

import duckdb
import pytest

from dataplane.connectors.mysql.wire import There, constant
from dataplane.steps.base import ColumnType

ENUM = r"enum('a','2','it''s','b\\c')"


def sent(value: str, native: str) -> str:
    there = There("v", native.partition("(")[0], native)
    with duckdb.connect() as connection:
        query = f"SELECT {constant(ColumnType('v', 'VARCHAR'), there)} FROM (SELECT CAST($1 AS VARCHAR) AS v)"
        (found,) = connection.execute(query, [value]).fetchall()
    return str(found[0])


@pytest.mark.parametrize(
    ("value", "native"),
    [
        ("1", ENUM),
        (" 1", ENUM),
        ("A", ENUM),
        ("a ", ENUM),
        ("", ENUM),
        ("ab  ", "varchar(3)"),
        ("漢 ", "varchar(1)"),
        ("a ", "char(9)"),
        ("a" * 255 + " ", "tinytext"),
        ("a" * 65535 + " ", "text"),
    ],
)
def test_what_would_change_is_refused(value: str, native: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match=r"manifold found .* in v"):
        sent(value, native)


@pytest.mark.parametrize(
    ("value", "native"),
    [
        ("a", ENUM),
        ("2", ENUM),
        ("ab ", "varchar(3)"),
        ("漢 ", "varchar(2)"),
        ("abcd", "varchar(3)"),
        (" a", "char(9)"),
        ("a ", "tinytext"),
        ("a ", "longtext"),
    ],
)
def test_what_arrives_as_it_is_or_is_refused_by_the_server_is_sent(value: str, native: str) -> None:
    assert sent(value, native) == f"'{value}'"


def test_members_with_quotes_and_backslashes_are_known() -> None:
    assert sent("it's", ENUM) == "'it''s'"
    assert sent("b\\c", ENUM) == r"'b\\c'"
