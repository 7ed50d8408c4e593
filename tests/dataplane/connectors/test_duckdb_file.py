"""DuckDB files: every type arrives whole, nothing but tables is read, and a writer is told of."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataplane import patience
from dataplane.connectors.databases import file, server
from dataplane.connectors.duckdb_file import DuckDBFile
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.relations import literal
from dataplane.steps.base import StepResult
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.connectors.databases import read_as_it_grows
from tests.dataplane.tables import Staging

SPEC = ExtractSpec(source="s", stream="t")

# DuckDB's type, a value, the type that arrives, and whether discovery says something about it.
TYPES = [
    ("BOOLEAN", "true", "BOOLEAN", False),
    ("TINYINT", "-128", "TINYINT", False),
    ("SMALLINT", "-32768", "SMALLINT", False),
    ("INTEGER", "-2147483648", "INTEGER", False),
    ("BIGINT", "-9223372036854775808", "BIGINT", False),
    ("UTINYINT", "255", "UTINYINT", False),
    ("USMALLINT", "65535", "USMALLINT", False),
    ("UINTEGER", "4294967295", "UINTEGER", False),
    ("UBIGINT", "18446744073709551615", "UBIGINT", False),
    ("HUGEINT", "170141183460469231", "DECIMAL(38,0)", True),
    ("UHUGEINT", "170141183460469231", "DECIMAL(38,0)", True),
    ("BIGNUM", "123456789012345678901234567890123456789012345", "VARCHAR", True),
    ("FLOAT", "1.5", "FLOAT", False),
    ("DOUBLE", "NaN", "DOUBLE", False),
    ("DECIMAL(38,10)", "-1234567890123456789012345678.0123456789", "DECIMAL(38,10)", False),
    ("VARCHAR", "naïve 漢字", "VARCHAR", False),
    ("ENUM('x', 'y')", "x", "VARCHAR", False),
    ("BLOB", "\\x00\\xFF", "BLOB", False),
    ("BIT", "10101", "VARCHAR", True),
    ("UUID", "123e4567-e89b-12d3-a456-426614174000", "UUID", False),
    ("DATE", "infinity", "DATE", False),
    ("TIME", "24:00:00", "TIME", False),
    ("TIME_NS", "10:11:12.123456789", "VARCHAR", True),
    ("TIMETZ", "10:11:12+02", "VARCHAR", True),
    ("TIMESTAMP", "2024-01-02 03:04:05.123456", "TIMESTAMP", False),
    ("TIMESTAMP_S", "2024-01-02 03:04:05", "TIMESTAMP", False),
    ("TIMESTAMP_MS", "2024-01-02 03:04:05.123", "TIMESTAMP", False),
    ("TIMESTAMP_NS", "2024-01-02 03:04:05.123456789", "TIMESTAMP_NS", False),
    ("TIMESTAMPTZ", "2024-01-02 03:04:05+02", "TIMESTAMP WITH TIME ZONE", False),
    ("INTERVAL", "1 month 2 microseconds", "VARCHAR", True),
    ("INTEGER[]", "[1, NULL]", "INTEGER[]", False),
    ("INTEGER[2]", "[1, 2]", "INTEGER[]", False),
    ("INTERVAL[]", "['1 day']", "VARCHAR", True),
    ("STRUCT(a INTEGER, b INTEGER[])", "{'a': 1, 'b': [1, NULL]}", "STRUCT(a INTEGER, b INTEGER[])", False),
    ("MAP(VARCHAR, DECIMAL(5,2))", "{k=1.50}", "MAP(VARCHAR, DECIMAL(5,2))", False),
    ("UNION(n INTEGER, s VARCHAR)", "7", "VARCHAR", True),
    ("JSON", '{"a":  1}', "JSON", False),
]


def filled(tmp_path: Path, *statements: str) -> DuckDBFile:
    (tmp_path / "files").mkdir(exist_ok=True)
    with duckdb.connect(str(tmp_path / "files" / "a.duckdb")) as base:
        for each in statements:
            base.execute(each)
    return DuckDBFile(DuckDBFile.Params(path="a.duckdb"), roots=[str(tmp_path / "files")])


def stream(info: StreamInfo, **given: Any) -> StreamConfig:
    return StreamConfig(info.name, info.settings, info.columns, **given)


def extract(
    tmp_path: Path, connector: DuckDBFile, config: StreamConfig, window: Window, **extras: Any
) -> tuple[StepResult, list[Any]]:
    staging = Staging(tmp_path / "storage")
    context = staging.context({}, connector=connector, stream=config, window=window, **{"seen": None, **extras})
    result = ExtractStep.run(context, SPEC)
    assert result.table is not None
    return result, staging.rows(result.table)


def test_it_works(tmp_path: Path) -> None:
    connector = filled(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR)",
        "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
        'CREATE SCHEMA "s.x"',
        'CREATE TABLE "s.x"."odd""name" AS SELECT 7 AS "a b"',
        "CREATE VIEW leak AS SELECT * FROM read_text('/etc/hostname')",
    )
    assert all(each.ok for each in connector.test())
    infos = {each.name: each for each in connector.discover()}
    assert set(infos) == {"main.t", 's.x.odd"name'}, "a view's SQL is not ours"
    info = infos["main.t"]
    assert (info.primary_key, info.rows, info.cursor_candidates) == (("id",), 2, ("id", "name"))
    assert extract(tmp_path, connector, stream(info), Window("full"))[1] == [(1, "a"), (2, None)]
    assert extract(tmp_path, connector, stream(infos['s.x.odd"name']), Window("full"))[1] == [(7,)]
    assert connector.preview(stream(info), 1).num_rows == 1
    with pytest.raises(ConfigurationError, match=r"There is no table main\.leak"):
        connector.preview(StreamConfig("main.leak"))


@pytest.mark.parametrize(("native", "value", "type_", "warned"), TYPES, ids=[each[0] for each in TYPES])
def test_each_type_arrives_whole(tmp_path: Path, native: str, value: str, type_: str, warned: bool) -> None:
    connector = filled(tmp_path, f"CREATE TABLE t AS SELECT CAST({literal(value)} AS {native}) AS c")
    (info,) = connector.discover()
    assert (info.columns[0].type, bool(info.columns[0].warning)) == (type_, warned)
    result, _ = extract(tmp_path, connector, stream(info), Window("full"))
    assert result.table is not None
    path = Staging(tmp_path / "storage").storage.absolute(result.table.files[0].path)
    with duckdb.connect(str(tmp_path / "files" / "a.duckdb")) as base:
        base.execute("SET TimeZone = 'UTC'")
        same = f"SELECT CAST(t.c AS VARCHAR), CAST(p.c AS VARCHAR) FROM t, read_parquet('{path}') p"
        before, after = base.execute(same).fetchall()[0]
    assert before == after


def test_a_number_that_does_not_fit_fails_the_read(tmp_path: Path) -> None:
    connector = filled(tmp_path, f"CREATE TABLE t AS SELECT {10**38}::HUGEINT AS c")
    (info,) = connector.discover()
    assert "39 digits" in info.columns[0].warning
    for read in (
        lambda: extract(tmp_path, connector, stream(info), Window("full")),
        lambda: connector.preview(stream(info)),
    ):
        with pytest.raises(DataError, match=r"a\.duckdb does not fit its type: .* Declare its column as VARCHAR"):
            read()
    kept = replace(stream(info), columns=(replace(info.columns[0], type="VARCHAR"),))
    _, rows = extract(tmp_path, connector, kept, Window("full"))
    assert rows == [(str(10**38),)]


def test_what_is_new(tmp_path: Path) -> None:
    connector = filled(
        tmp_path, "CREATE TABLE t AS SELECT TIMESTAMP '2024-01-01' + to_hours(n) AS at FROM range(3) r(n)"
    )
    (info,) = connector.discover()
    config = stream(info, cursor="at", lookback=3600.0)
    first = connector.plan(config, "incremental", Mark())
    assert first.window == Window("cursor", column="at", upper="2024-01-01 02:00:00")
    result, rows = extract(tmp_path, connector, config, first.window)
    assert len(rows) == 3
    mark = Mark(
        upper=first.window.upper, boundary_rows=result.facts["boundary_rows"], seen_from=result.facts["seen_from"]
    )
    assert connector.plan(config, "incremental", mark).window is None
    filled(tmp_path, "INSERT INTO t VALUES ('2024-01-01 02:00:00')")
    late = connector.plan(config, "incremental", mark)
    assert late.window is not None
    assert late.reason.startswith("1 rows arrived late")
    _, rows = extract(tmp_path, connector, config, late.window, seen=result.facts["seen"])
    assert len(rows) == 1
    filled(tmp_path, "INSERT INTO t VALUES ('2024-01-01 05:00:00'), ('infinity'), (NULL)")
    more = connector.plan(config, "incremental", mark)
    assert more.window is not None
    assert (more.window.upper, len(more.warnings)) == ("2024-01-01 05:00:00", 1)


def test_texts_are_compared_by_their_bytes_under_any_collation(tmp_path: Path) -> None:
    source = filled(tmp_path, "CREATE TABLE t (c VARCHAR COLLATE NOCASE)")

    def insert(value: str) -> None:
        filled(tmp_path, f"INSERT INTO t VALUES ('{value}')")

    config = StreamConfig("main.t", cursor="c")
    read_as_it_grows(source, config, insert, ["B", "Z", "a", "é"])
    filled(tmp_path, "DELETE FROM t WHERE c <> 'B'")
    assert "its newest is B now" in source.plan(config, "incremental", Mark(upper="é")).reason


# What is constant is computed while the filter is looked at, before anything is read.
@pytest.mark.parametrize("repeated", ["CAST(id AS VARCHAR), 5_000", "'x', 100_000_000"], ids=["rows", "filter"])
def test_a_dry_run_interrupts_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: str) -> None:
    source = filled(tmp_path, "CREATE TABLE t AS SELECT range AS id FROM range(10_000_000)")
    (info,) = source.discover()
    slow = stream(info, cursor="id", row_filter=f"md5(repeat({repeated})) <> ''")
    monkeypatch.setattr(server, "ASK_SECONDS", 0.1)
    monkeypatch.setattr(file, "_GRACE_SECONDS", 120.0)
    source.hurried = True
    with pytest.raises(TransientError) as caught:
        source.plan(slow, "incremental", Mark())
    assert caught.value.code == "statement_timeout"


def test_what_is_interrupted_while_it_lets_go_is_told_as_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = filled(tmp_path, "CREATE TABLE t AS SELECT range AS id FROM range(1_000_000)")
    (info,) = source.discover()
    slow = stream(info, cursor="id", row_filter="md5(repeat(CAST(id AS VARCHAR), 5_000)) <> ''")
    monkeypatch.setattr(server, "ASK_SECONDS", 0.01)
    monkeypatch.setattr(patience, "_INTERRUPTED_EVERY", 0.0)
    source.hurried = True
    for _ in range(20):
        with pytest.raises(TransientError) as caught:
            source.plan(slow, "incremental", Mark())
        assert caught.value.code == "statement_timeout"


def test_columns_filter_and_declared_types(tmp_path: Path) -> None:
    connector = filled(tmp_path, "CREATE TABLE t AS SELECT * FROM (VALUES (1, '5'), (2, 'x')) v(id, c)")
    (info,) = connector.discover()
    config = stream(info, select=("c",), row_filter="id = 1")
    assert extract(tmp_path, connector, config, Window("full"))[1] == [("5",)]
    declared = StreamConfig("main.t", columns=(Column("c", "INTEGER"),))
    with pytest.raises(DataError, match=r"Column c of a\.duckdb holds x"):
        extract(tmp_path, connector, declared, Window("full"))
    with pytest.raises(ConfigurationError, match=r"filter of main\.t"):
        connector.preview(stream(info, row_filter="id IN (SELECT 1 FROM read_text('/etc/hostname'))"))


def test_a_file_that_is_being_written_is_tried_again(tmp_path: Path) -> None:
    connector = filled(tmp_path, "CREATE TABLE t (id INTEGER)")
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    file = str(tmp_path / "files" / "a.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", code, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(TransientError, match="one writer at a time") as caught:
            connector.discover()
        writer.communicate("")
    assert caught.value.code == "file_locked"
    assert str(tmp_path) not in str(caught.value.evidence)
    assert len(connector.discover()) == 1


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    connector = filled(tmp_path)
    (tmp_path / "files" / "a.duckdb").write_bytes(b"something else" * 1000)
    last = list(connector.test())[-1]
    assert last.error is not None
    assert last.error.code == "file_format"
