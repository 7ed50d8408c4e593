"""A merge: rows are known again by their key, and only files with a changed row are written again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.errors import ConfigurationError, DataError
from dataplane.steps.base import StepResult, Table
from dataplane.steps.load import LoadSpec, LoadStep
from tests.dataplane.tables import Staging

Row = tuple[Any, ...]


def spec(**given: Any) -> LoadSpec:
    return LoadSpec.model_validate({"input": "new", "dataset": "people", "mode": "merge", "key": ["id"], **given})


def merge(staging: Staging, parent: Table | None, table: Table, **given: Any) -> tuple[StepResult, Table]:
    """One merge, and the dataset as it is after it."""
    inputs = {"input": table} if parent is None else {"input": table, "parent": parent}
    columns = parent.columns if parent else ()
    result = LoadStep.run(staging.context(inputs, key="kept", columns=columns), spec(**given))
    assert result.table is not None
    stay = tuple(each for each in (parent.files if parent else ()) if each.path not in result.facts["removed"])
    return result, Table(result.table.columns, stay + result.table.files)


def counts(result: StepResult) -> tuple[int, ...]:
    return tuple(result.facts["counts"].values())


def values(*rows: Row, names: str = "id, name") -> str:
    listed = ", ".join("(" + ", ".join("NULL" if each is None else repr(each) for each in row) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {listed}) t({names})"


def test_it_works(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    first, people = merge(staging, None, staging.table(values((1, "a"), (2, "b")), values((3, "c"))))
    assert counts(first) == (3, 0, 0, 0)
    second, people = merge(staging, people, staging.table(values((2, "B"), (1, "a"), (4, "d"))))
    assert counts(second) == (1, 1, 0, 1)
    assert (second.rows_in, second.rows_out) == (3, 2)
    assert staging.rows(people) == [(1, "a"), (2, "B"), (3, "c"), (4, "d")]


def test_files_without_a_changed_row_stay(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    _, people = merge(staging, None, staging.table(values((1, "a")), values((2, "b")), values((3, "c"))))
    result, after = merge(staging, people, staging.table(values((1, "a"), (2, "x"))))
    assert result.facts["removed"] == (people.files[1].path,)
    assert {people.files[0], people.files[2]} < set(after.files)


def test_rows_that_are_all_new_are_adopted(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    _, people = merge(staging, None, staging.table(values((1, "a"))))
    table = staging.table(values((2, "b")))
    result, _ = merge(staging, people, table)
    assert result.table is not None
    paths = [staging.storage.absolute(each.files[0].path) for each in (table, result.table)]
    assert os.path.samefile(*paths)


def test_nothing_new_changes_no_file(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    _, people = merge(staging, None, staging.table(values((1, "a"), (2, None))))
    result, after = merge(staging, people, staging.table(values((2, None), (1, "a"))))
    assert (after.files, counts(result)) == (people.files, (0, 0, 0, 2))


def test_missing_rows_are_deleted_only_when_asked(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    _, people = merge(staging, None, staging.table(values((1, "a"), (2, "b")), values((3, "c"))))
    table = staging.table(values((1, "a"), (4, "d")))
    result, after = merge(staging, people, table)
    assert (counts(result), staging.rows(after, "id")[1]) == ((1, 0, 0, 1), (2, "b"))
    result, after = merge(staging, people, table, delete_missing=True)
    assert (counts(result), staging.rows(after)) == ((1, 0, 2, 1), [(1, "a"), (4, "d")])
    result, after = merge(staging, after, staging.table(values((0, "x")) + " WHERE false"), delete_missing=True)
    assert (counts(result), after.files) == ((0, 0, 2, 0), ())


def test_a_column_that_does_not_arrive_keeps_its_values(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    _, people = merge(staging, None, staging.table(values((1, "a", 10), (2, "b", 20), names="id, name, age")))
    _, after = merge(staging, people, staging.table(values(("X", 1, True), ("n", 3, False), names="NAME, ID, new")))
    assert [each.name for each in after.columns] == ["id", "name", "age", "new"]
    assert staging.rows(after) == [(1, "X", 10, True), (2, "b", 20, None), (3, "n", None, False)]


def test_types_grow_and_the_key_with_them(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    _, people = merge(staging, None, staging.table("SELECT 1::SMALLINT AS id, 1.5::FLOAT AS x"))
    result, after = merge(staging, people, staging.table("SELECT 1::BIGINT AS id, 1.5::DOUBLE AS x"))
    assert (counts(result), [each.type for each in after.columns]) == ((0, 0, 0, 1), ["BIGINT", "DOUBLE"])


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([(1, "a"), (None, "b")], "key_null", r"1 of 2 rows have no value in the key `id`.* id = NULL \(row 2\)"),
        ([(7, "a"), (1, "b"), (7, "c")], "key_twice", r"1 values of the key `id` .* id = 7 \(row 1\)"),
    ],
)
def test_keys_that_tell_no_row_apart(tmp_path: Path, rows: list[Row], code: str, said: str) -> None:
    staging = Staging(tmp_path)
    with pytest.raises(DataError, match=said) as caught:
        merge(staging, None, staging.table(values(*rows)))
    assert caught.value.code == code
    assert caught.value.evidence["samples"][0]["file"] is None


def test_a_dataset_that_holds_a_key_twice(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    people = staging.table(values((1, "a"), (2, "b")), values((1, "c")))
    _, after = merge(staging, people, staging.table(values((2, "B"))))
    assert len(staging.rows(after)) == 3, "what is not touched is not looked at"
    with pytest.raises(DataError, match="id = 1") as caught:
        merge(staging, people, staging.table(values((1, "x"), (3, "y"))))
    assert caught.value.code == "key_twice_in_dataset"
    assert caught.value.evidence["samples"] == [{"values": {"id": "1"}, "rows": 2}]


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    people = staging.table(values((1, "a")))
    with pytest.raises(ConfigurationError, match=r"`number`, which does not arrive.*`id`, `name`"):
        merge(staging, people, people, key=["number"])
    with pytest.raises(ConfigurationError, match="has no column `nick`"):
        merge(staging, people, staging.table(values((1, "a", "x"), names="id, name, nick")), key=["nick"])


def test_a_frozen_schema(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    people = staging.table(values((1, "a")))
    _, after = merge(staging, people, staging.table("SELECT 'b' AS name, 2::TINYINT AS id"), schema="freeze")
    assert after.columns == people.columns
    with pytest.raises(
        DataError, match=r"`age` \(INTEGER\) is new; `name` is missing\. .*write `schema: evolve`"
    ) as caught:
        merge(staging, people, staging.table(values((1, 3), names="id, age")), schema="freeze")
    assert caught.value.code == "schema_frozen"
    with pytest.raises(DataError, match="`id` is INTEGER and arrives as BIGINT"):
        merge(staging, people, staging.table("SELECT 2::BIGINT AS id, 'a' AS name"), schema="freeze")


keys = st.tuples(st.integers(0, 5), st.sampled_from(["", "a", "A"]))
cells = st.tuples(
    st.none() | st.integers(-2, 2), st.none() | st.sampled_from(["x", "", "x "]), st.sampled_from([0.5, float("nan")])
)
batches = st.lists(
    st.tuples(st.dictionaries(keys, cells, max_size=8), st.booleans(), st.integers(1, 3)), min_size=1, max_size=4
)


@settings(max_examples=25, deadline=None)
@given(batches)
def test_as_a_dictionary_does_it(given: list[tuple[dict[Row, Row], bool, int]]) -> None:
    """Any merges one after the other, from one file or several, as Python's own dictionaries do them."""
    with tempfile.TemporaryDirectory() as folder:
        staging = Staging(Path(folder))
        model: dict[Row, Row] = {}
        table: Table | None = None
        for batch, delete, parts in given:
            before = dict(model)
            model = {**({} if delete else model), **batch}
            result, table = merge(staging, table, _staged(staging, batch, parts), key=["n", "s"], delete_missing=delete)
            same = sum(1 for key, row in batch.items() if key in before and _same(before[key], row))
            known = sum(1 for key in batch if key in before)
            gone = sum(1 for key in before if key not in model)
            assert counts(result) == (len(batch) - known, known - same, gone, same)
            found = {row[:2]: row[2:] for row in staging.rows(table)}
            assert (len(found), table.rows) == (len(model), len(model))
            assert all(_same(found[key], row) for key, row in model.items())


def _same(one: Row, other: Row) -> bool:
    return repr(one) == repr(other)


def _staged(staging: Staging, batch: dict[Row, Row], parts: int) -> Table:
    rows = [key + row for key, row in batch.items()]
    types = "n::INTEGER AS n, s, a::INTEGER AS a, b::VARCHAR AS b, c::DOUBLE AS c"
    selects = []
    for part in range(parts):
        chosen = [(*row[:4], str(row[4])) for row in rows[part::parts]] or [(0, "", 0, "", "0")]
        where = "" if rows[part::parts] else " WHERE false"
        selects.append(f"SELECT {types} FROM ({values(*chosen, names='n, s, a, b, c')}){where}")
    return staging.table(*selects)
