"""The load step: files are adopted as they are, and the schema is decided."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dataplane.errors import DataError
from dataplane.steps.base import ColumnType, StagedFile, Table
from dataplane.steps.load import LoadSpec, LoadStep, merged
from dataplane.types import stored, widest
from tests.dataplane.tables import Staging

SPEC = LoadSpec(input="named", dataset="flights")


def test_it_works(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    table = staging.table("SELECT 1 AS i", "SELECT 2 AS i")
    bad = staging.table("SELECT 'x' AS reason")
    context = staging.context({"input": Table(table.columns, table.files, bad.files)}, key="kept")
    result = LoadStep.run(context, SPEC)
    assert result.table is not None
    assert staging.rows(result.table) == [(1,), (2,)]
    assert staging.rows_of(result.table.rejected) == [("x",)]
    assert all(each.path.startswith(context.output) for each in (*result.table.files, *result.table.rejected))
    for before, after in zip(table.files, result.table.files, strict=True):
        absolute = staging.storage.absolute(after.path)
        assert after.sha256 == hashlib.sha256(Path(absolute).read_bytes()).hexdigest()
        assert os.path.samefile(absolute, staging.storage.absolute(before.path)), "adopted, not written again"
        staging.storage.remove(before.path)
        assert os.path.exists(absolute), "it lives when the staged file has gone"


def test_two_loads_of_one_input_have_files_of_their_own(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    table = staging.table("SELECT 1 AS i")
    paths = [
        each.path
        for key in ("one", "two")
        for each in (LoadStep.run(staging.context({"input": table}, key=key), SPEC).table or table).files
    ]
    assert len(set(paths)) == 2


def test_a_known_hash_is_kept(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    table = staging.table("SELECT 1 AS i")
    known = StagedFile(table.files[0].path, 1, 1, "abc")
    result = LoadStep.run(staging.context({"input": Table(table.columns, (known,))}), SPEC)
    assert result.table is not None
    assert result.table.files[0].sha256 == "abc"


def test_an_empty_input_is_an_empty_load(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    table = staging.table("SELECT 1 AS i WHERE false")
    result = LoadStep.run(staging.context({"input": table}, columns=()), SPEC)
    assert result.table == table


def columns(**types: str) -> tuple[ColumnType, ...]:
    return tuple(ColumnType(name, type_, nullable=False) for name, type_ in types.items())


def test_the_schema_grows_and_old_columns_stay() -> None:
    found = merged(columns(id="INTEGER", gone="DATE", f="FLOAT"), columns(F="DOUBLE", new="TIME", ID="SMALLINT"), "d")
    assert found == (
        ColumnType("id", "INTEGER", False),
        ColumnType("gone", "DATE", True),
        ColumnType("f", "DOUBLE", False),
        ColumnType("new", "TIME", True),
    )


@pytest.mark.parametrize(("before", "after"), [("INTEGER", "VARCHAR"), ("VARCHAR", "INTEGER[]"), ("DATE", "BIGINT")])
def test_a_type_that_loses_values_is_refused(before: str, after: str) -> None:
    with pytest.raises(DataError, match="`id` of the dataset `flights`") as caught:
        merged(columns(id=before), columns(id=after), "flights")
    assert caught.value.code == "schema_changed"
    assert {each.id for each in caught.value.suggestions} == {"cast", "seed"}


def test_numbers_may_arrive_where_text_is_kept() -> None:
    assert merged(columns(id="VARCHAR"), columns(id="BIGINT"), "d") == columns(id="VARCHAR")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("INTEGER", "INTEGER", "INTEGER"),
        ("TINYINT", "BIGINT", "BIGINT"),
        ("UINTEGER", "BIGINT", "BIGINT"),
        ("UINTEGER", "INTEGER", None),
        ("UTINYINT", "UBIGINT", "UBIGINT"),
        ("INTEGER", "DOUBLE", "DOUBLE"),
        ("BIGINT", "DOUBLE", None),
        ("SMALLINT", "FLOAT", "FLOAT"),
        ("INTEGER", "FLOAT", None),
        ("DECIMAL(9,2)", "DECIMAL(6,4)", "DECIMAL(11,4)"),
        ("DECIMAL(9,2)", "INTEGER", "DECIMAL(12,2)"),
        ("DECIMAL(38,0)", "DECIMAL(38,10)", None),
        ("DATE", "TIMESTAMP", "TIMESTAMP"),
        ("DATE", "TIMESTAMP WITH TIME ZONE", None),
        ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", None),
        ("BOOLEAN", "INTEGER", None),
    ],
)
def test_the_type_for_both(one: str, other: str, both: str | None) -> None:
    assert widest(one, other) == both
    assert widest(other, one) == both


def test_what_parquet_keeps() -> None:
    kinds = ["HUGEINT", "ENUM('a', 'b')", "INTEGER[3]", "HUGEINT[3]", '"NULL"', "TIMESTAMP_S", "VARCHAR"]
    assert [stored(each) for each in kinds] == [
        "DECIMAL(38,0)",
        "VARCHAR",
        "INTEGER[]",
        "DECIMAL(38,0)[]",
        "INTEGER",
        "TIMESTAMP",
        "VARCHAR",
    ]
