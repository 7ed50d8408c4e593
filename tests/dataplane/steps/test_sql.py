"""The sql step: what a query gives is what is staged, in types that Parquet keeps."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dataplane.errors import ConfigurationError, DataError, InfrastructureError
from dataplane.steps.base import StepResult, Table
from dataplane.steps.sql import SqlSpec, SqlStep
from tests.dataplane.tables import Staging


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path)


def run(staging: Staging, query: str, **inputs: Table) -> StepResult:
    tables = inputs or {"t": staging.table("SELECT i, i % 3 AS k FROM range(10) r(i)", "SELECT 10 AS i, 1 AS k")}
    spec = SqlSpec.model_validate({"inputs": dict.fromkeys(tables, "before"), "query": query})
    return SqlStep.run(staging.context(tables, key="named"), spec)


def staged(staging: Staging, query: str, **inputs: Table) -> list[tuple[Any, ...]]:
    table = run(staging, query, **inputs).table
    assert table is not None
    return staging.rows(table)


def test_it_works(staging: Staging) -> None:
    result = run(staging, "SELECT k, count(*) AS n FROM t GROUP BY k ORDER BY k DESC -- newest first")
    assert result.table is not None
    assert staging.rows(result.table) == [(0, 4), (1, 4), (2, 3)]
    assert [(each.name, each.type) for each in result.table.columns] == [("k", "BIGINT"), ("n", "BIGINT")]
    assert (result.rows_in, result.table.rows) == (11, 3)


def test_inputs_join_by_the_names_the_step_gives_them(staging: Staging) -> None:
    left = staging.table("SELECT 1 AS id, 'a' AS x UNION ALL SELECT 2, 'b'")
    right = staging.table("SELECT 2 AS id, 'B' AS y")
    assert staged(staging, "SELECT * FROM L LEFT JOIN r USING (id)", l=left, r=right) == [(1, "a", None), (2, "b", "B")]


def test_files_are_read_by_name_and_missing_columns_are_null(staging: Staging) -> None:
    old = staging.table("SELECT 1 AS i")
    new = staging.table("SELECT 'x' AS word, DATE '2013-01-01' AS day, 3000000000 AS i")
    both = Table((new.columns[2], new.columns[0]), (*old.files, *new.files))
    assert staged(staging, "FROM t", t=both) == [(1, None), (3000000000, "x")]
    only_old = Table((new.columns[2], new.columns[0]), old.files)
    assert staged(staging, "FROM t", t=only_old) == [(1, None)]


def test_an_empty_result_keeps_its_columns(staging: Staging) -> None:
    table = run(staging, "SELECT i, 'x' AS word FROM t WHERE false").table
    assert table is not None
    assert (table.files, [each.type for each in table.columns]) == ((), ["BIGINT", "VARCHAR"])
    assert staged(staging, "SELECT count(*) FROM t", t=table) == [(0,)]


def test_types_that_parquet_lacks_lose_nothing(staging: Staging) -> None:
    table = run(
        staging,
        "SELECT sum(i) * 1000000000000000000 + 1 AS huge, 'a'::ENUM ('a', 'b') AS choice, NULL AS nothing, "
        "[1, 2]::INTEGER[2] AS pair FROM t",
    ).table
    assert table is not None
    assert [each.type for each in table.columns] == ["DECIMAL(38,0)", "VARCHAR", "INTEGER", "INTEGER[]"]
    assert staging.rows(table) == [(Decimal(55 * 10**18 + 1), "a", None, [1, 2])]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT\n  foo\nFROM t", "Line 2, column 3"),
        ("SELECT i FROM t JOIN t AS u USING (nope)", "nope"),
        ("SELECT t.i, u.i FROM t, t AS u", "two columns named `i`"),
        ("SELECT i FROM t LIMIT -1", "negative"),
    ],
)
def test_a_wrong_query_says_where(staging: Staging, query: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(staging, query)
    assert caught.value.message.startswith("steps.named.sql.query: ")
    assert said in caught.value.message


def test_a_value_that_does_not_fit_is_about_the_data(staging: Staging) -> None:
    with pytest.raises(DataError, match="TRY_CAST"):
        run(staging, "SELECT ('x' || i)::INTEGER AS n FROM t")


def test_memory_has_an_end(staging: Staging) -> None:
    """`repeat` heeds no memory limit of DuckDB's; the ceiling of the address space ends it at once."""
    context = staging.context({"t": staging.table("SELECT 1 AS i")})
    context.memory = 256 << 20
    spec = SqlSpec(inputs={"t": "before"}, query="SELECT repeat('x', 2000000000) || i AS n FROM t")
    with pytest.raises(InfrastructureError) as caught:
        SqlStep.run(context, spec)
    assert caught.value.code == "out_of_memory"


@pytest.mark.parametrize(
    ("inputs", "query", "said"),
    [
        ({"t": "a"}, "SELECT * FROM read_csv('/etc/passwd')", "not allowed"),
        ({"t": "a"}, "DELETE FROM t", "only one SELECT"),
        ({"t": "a"}, "SELECT * FROM u", "Tables here are: t"),
        ({"t": "a", "T": "b"}, "SELECT 1", "capital letters"),
        ({"a b": "a"}, "SELECT 1", "pattern"),
        ({}, "SELECT 1", "at least 1"),
    ],
)
def test_the_document_is_refused(inputs: dict[str, str], query: str, said: str) -> None:
    with pytest.raises(ValidationError, match=f"(?i){said}"):
        SqlSpec.model_validate({"inputs": inputs, "query": query})
