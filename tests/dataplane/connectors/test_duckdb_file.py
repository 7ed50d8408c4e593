"""DuckDB files: every type arrives whole, nothing but tables is read, and a writer is told of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dataplane.connectors.base import Column, Mark, StreamConfig, StreamInfo, Window
from dataplane.connectors.duckdb_file import DuckDBFile
from dataplane.errors import ConfigurationError, DataError, TransientError
from dataplane.steps.base import StepResult
from dataplane.steps.extract import ExtractSpec, ExtractStep
from tests.dataplane.tables import Staging

SPEC = ExtractSpec(source="s", stream="t")


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


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        ("170141183460469231::HUGEINT", "DECIMAL(38,0)"),
        ("INTERVAL '1 month 2 microseconds'", "VARCHAR"),
        ("'10:11:12+02'::TIMETZ", "VARCHAR"),
        ("'2024-01-02 03:04:05.123456789'::TIMESTAMP_NS", "TIMESTAMP_NS"),
        ("'2024-01-02 03:04:05+02'::TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"),
        ("{'a': 1, 'b': [1, NULL]}", "STRUCT(a INTEGER, b INTEGER[])"),
        ("MAP {'k': 1.5::DECIMAL(5,2)}", "MAP(VARCHAR, DECIMAL(5,2))"),
        ("[INTERVAL '1 day']", "VARCHAR"),
        ("'x'::ENUM('x', 'y')", "VARCHAR"),
        ("'\\x00'::BLOB", "BLOB"),
        ("uuid()", "UUID"),
        ("'NaN'::DOUBLE", "DOUBLE"),
    ],
)
def test_each_type_arrives_whole(tmp_path: Path, value: str, type_: str) -> None:
    connector = filled(tmp_path, f"CREATE TABLE t AS SELECT {value} AS c")
    (info,) = connector.discover()
    assert info.columns[0].type == type_
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
    with pytest.raises(DataError, match="does not fit"):
        extract(tmp_path, connector, stream(info), Window("full"))


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


def test_columns_filter_and_declared_types(tmp_path: Path) -> None:
    connector = filled(tmp_path, "CREATE TABLE t AS SELECT * FROM (VALUES (1, '5'), (2, 'x')) v(id, c)")
    (info,) = connector.discover()
    config = stream(info, select=("c",), row_filter="id = 1")
    assert extract(tmp_path, connector, config, Window("full"))[1] == [("5",)]
    declared = StreamConfig("main.t", columns=(Column("c", "INTEGER"),))
    with pytest.raises(DataError, match="does not fit"):
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
