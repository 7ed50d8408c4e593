"""Queries in the confined process: what they answer, what they cannot reach, and where they end."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from dataplane import sandbox
from dataplane.errors import CancelledError, ConfigurationError
from dataplane.parameters import parameter
from dataplane.sandbox import QueryResult, run_query
from dataplane.steps.base import Table
from dataplane.syntax import StatementError
from tests.dataplane.hostile import HOSTILE
from tests.dataplane.tables import Staging

MEMORY = 256 << 20


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path)


@pytest.fixture
def table(staging: Staging) -> Table:
    return staging.table("SELECT i, 'x' || i AS word FROM range(3) r(i)")


def ask(staging: Staging, sql: str, table: Table, **limits: Any) -> QueryResult:
    return run_query(sql, {"flights": table, "flights@3": table}, staging.storage, memory=MEMORY, **limits)


def test_it_works(staging: Staging, table: Table) -> None:
    result = ask(staging, 'SELECT i, word FROM flights JOIN "flights@3" USING (i, word) ORDER BY i;', table)
    assert result.as_json() == {
        "columns": [{"name": "i", "type": "BIGINT"}, {"name": "word", "type": "VARCHAR"}],
        "rows": [[0, "x0"], [1, "x1"], [2, "x2"]],
        "row_count": 3,
        "truncated": False,
        "seconds": result.seconds,
        "bytes_scanned": 2 * sum(each.bytes for each in table.files),
    }
    assert result.seconds > 0


def test_values_are_what_json_has(staging: Staging, table: Table) -> None:
    result = ask(
        staging,
        "SELECT DATE '2013-01-01' AS d, 1.50::DECIMAL(5, 2) AS m, 'nan'::DOUBLE AS n, [1, 2] AS l, NULL AS z, true b, "
        "{'day': DATE '2013-01-01', 'of': MAP {'x': [12345678901234567.25::DECIMAL(38, 2), NULL]}} AS s, "
        "'2013-01-01 00:00:00+02'::TIMESTAMPTZ AS t, '\\xFF'::BLOB AS r, i AS i, i AS i FROM flights LIMIT 1",
        table,
    )
    nested = '{"day":"2013-01-01","of":{"x":[12345678901234567.25,null]}}'
    plain = ["2013-01-01", "1.50", "NaN", "[1,2]", None, True, nested, "2012-12-31 22:00:00+00", "\\xFF", 0, 0]
    assert result.rows == [plain]
    json.dumps(result.as_json(), allow_nan=False)
    assert [each["name"] for each in result.columns][-2:] == ["i", "i"]


def test_answers_are_cut(staging: Staging, table: Table) -> None:
    rows = ask(staging, "SELECT * FROM range(100)", table, limit_rows=10)
    assert (rows.row_count, rows.truncated, rows.cut) == (10, True, "rows")
    exact = ask(staging, "SELECT * FROM range(10)", table, limit_rows=10)
    assert (exact.row_count, exact.truncated) == (10, False)
    size = ask(staging, "SELECT repeat('x', 1000) FROM range(100)", table, limit_bytes=10_000)
    assert size.cut == "bytes" and 5 <= size.row_count < 10
    with pytest.raises(ConfigurationError, match="first row alone"):
        ask(staging, "SELECT repeat('x', 3000000)", table, limit_bytes=1 << 20)


def test_parameters_are_bound_and_never_text(staging: Staging, table: Table) -> None:
    given = [parameter("word", "text", "x1' OR true --"), parameter("n", None, 1)]
    both = "SELECT i FROM flights WHERE i = $n OR word = $word"
    assert ask(staging, both, table, parameters=given).rows == [[1]]
    typed = [
        parameter("d", "date", "2026-01-31"),
        parameter("t", "timestamp", "2026-01-31T08:00:00+02:00"),
        parameter("m", "number", "12.50"),
        parameter("b", "boolean", "yes"),
        parameter("z", "integer", None),
    ]
    result = ask(staging, "SELECT $d + 1, $t, $m, $b, $z IS NULL, typeof($d)", table, parameters=typed)
    assert result.rows == [["2026-02-01", "2026-01-31 06:00:00+00", "12.50", True, True, "DATE"]]


def test_an_answer_is_sorted_as_a_whole(staging: Staging, table: Table) -> None:
    result = ask(staging, "SELECT word, nullif(i, 1) FROM flights", table, order=-2, limit_rows=2)
    assert (result.rows, result.cut) == ([["x2", 2], ["x0", 0]], "rows")


def test_a_query_stops_when_somebody_wishes(staging: Staging, table: Table) -> None:
    asked: list[int] = []

    def stopped() -> bool:
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(CancelledError):
        ask(staging, "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 8", table, stopped=stopped)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT\n  foo FROM flights", "Line 2, column 3"),
        ("SELECT word::INTEGER FROM flights", "Could not convert"),
        ("SELECT * FROM weather", "Tables here are: flights, flights@3"),
        ("SELECT * FROM '/etc/passwd'", "There is no table"),
        ("DROP VIEW flights", "only one SELECT"),
    ],
)
def test_wrong_sql_is_told_in_plain_words(staging: Staging, table: Table, sql: str, said: str) -> None:
    with pytest.raises(StatementError) as caught:
        ask(staging, sql, table)
    assert said.lower() in caught.value.message.lower()
    assert "Traceback" not in caught.value.message


def test_a_query_that_never_ends_is_killed(staging: Staging, table: Table) -> None:
    with pytest.raises(ConfigurationError, match="longer than 1 seconds") as caught:
        ask(staging, "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 8", table, seconds=1)
    assert caught.value.code == "query_timeout"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 2000000000)",
        "SELECT length(repeat('x', 2000000000))",
        "SELECT list(repeat('x', 100000)) FROM range(100000)",
        "SELECT string_agg(range::VARCHAR, '') FROM range(200000000)",
    ],
)
def test_a_memory_bomb_is_stopped(staging: Staging, table: Table, sql: str) -> None:
    with pytest.raises(ConfigurationError, match="needed more than the 256 MB") as caught:
        ask(staging, sql, table, seconds=300)
    assert caught.value.code == "query_memory"


def test_hostile_statements_do_nothing_in_the_child_without_the_walk(staging: Staging, table: Table) -> None:
    secret, target = staging.root / "secret.csv", staging.root / "stolen"
    secret.write_text("canary-7f3a\n")
    before = sorted(staging.root.rglob("*"))
    request = sandbox.confinement({"t": table}, staging.storage, memory=MEMORY, seconds=20)
    limits = {"limit_rows": 10, "limit_bytes": 1 << 20, "plain_types": ["VARCHAR"]}
    reaching = [each for each in HOSTILE if "{secret}" in each or "{target}" in each or "/etc" in each]
    assert len(reaching) > 30
    for statement in reaching:
        text = statement.format(secret=secret, target=target)
        with sandbox.child({**request, **limits, "query": text}) as process:
            assert process.stdout is not None
            said = process.stdout.read().decode()
        assert "canary" not in said and "root:" not in said, statement
    assert sorted(staging.root.rglob("*")) == before


def test_the_child_has_no_environment_and_writes_no_file(
    staging: Staging, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANIFOLD_MASTER_KEY", "canary-master-key")
    request = sandbox.confinement({"t": table}, staging.storage, memory=MEMORY, seconds=20)
    endless = {"query": "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 8"}
    limits = {"limit_rows": 1, "limit_bytes": 1, "plain_types": [], "nested_types": []}
    with sandbox.child({**request, **endless, **limits}) as process:
        until = time.monotonic() + 60
        while limit(process.pid, "Max file size") != ["0", "0"]:
            assert time.monotonic() < until and process.poll() is None, "it does not confine itself"
            time.sleep(0.02)
        assert Path(f"/proc/{process.pid}/environ").read_bytes() == b""
        assert os.readlink(f"/proc/{process.pid}/cwd") == "/"
        assert int(limit(process.pid, "Max address space")[0]) < 4 << 30
    assert process.poll() is not None


def limit(pid: int, name: str) -> list[str]:
    """A process's limit, the one that holds and the highest it may be raised to."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith(name)).removeprefix(name).split()[:2]
