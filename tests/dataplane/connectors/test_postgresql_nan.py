"""A NaN, which DuckDB's scanner reads as 0, is told from a 0 in every column that may hold one."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from dataplane.connectors.postgresql import PostgreSQL
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import DataError
from dataplane.steps.base import StepContext
from dataplane.steps.extract import ExtractSpec, ExtractStep
from dataplane.storage import Storage
from tests.dataplane.connectors.databases import connector, parquet

FULL = Window("full")
# Decimals of 16, 32, 64 and 128 bits, which the scanner decodes each in its own way.
WIDTHS = ("numeric(4,1)", "numeric(9,2)", "numeric(18,2)", "numeric(38,10)")
COLUMNS = ", ".join(f"c{place} {type_}" for place, type_ in enumerate(WIDTHS))


def filled(url: str, *statements: str) -> PostgreSQL:
    with psycopg.connect(url, autocommit=True) as database:
        for each in statements:
            database.execute(each)
    return connector(url)


def extracted(
    source: PostgreSQL, window: Window, folder: Path, select: str, stream: StreamConfig | None = None
) -> list[tuple[object, ...]]:
    """The rows that the step stages; each call has a folder of its own."""
    storage = Storage((folder / f"{len(list(folder.iterdir()))}").as_uri())
    extras = {"connector": source, "stream": stream or StreamConfig("public.t"), "window": window, "seen": None}
    context = StepContext("t", storage, {}, "out", str(folder / "spill"), 2**28, 2, extras=extras)
    result = ExtractStep.run(context, ExtractSpec(source="s", stream="public.t"))
    assert result.table is not None
    return sorted(parquet([storage.absolute(each.path) for each in result.table.files], select))


def test_it_is_named_whatever_width_its_column_has(postgres_url: str, tmp_path: Path) -> None:
    source = filled(postgres_url, f"CREATE TABLE t (id int, {COLUMNS})", "INSERT INTO t VALUES (1, 1, 2, 3, 4)")
    for place in range(len(WIDTHS)):
        filled(postgres_url, f"INSERT INTO t (id, c{place}) VALUES (2, 'NaN')")
        with pytest.raises(DataError, match=rf"Column c{place} of public\.t holds NaN") as caught:
            extracted(source, FULL, tmp_path, "*")
        assert caught.value.code == "number_out_of_range"
        filled(postgres_url, "DELETE FROM t WHERE id = 2")
    assert extracted(source, FULL, tmp_path, "id, c0::INT, c1::INT, c2::INT, c3::INT") == [(1, 1, 2, 3, 4)]


def test_zeros_of_every_width_arrive(postgres_url: str, tmp_path: Path) -> None:
    source = filled(
        postgres_url, f"CREATE TABLE t (id int, {COLUMNS})", "INSERT INTO t VALUES (1, 0, 0, 0, 0), (2, 1, -1, 1, -1)"
    )
    select = "id, c0::INT, c1::INT, c2::INT, c3::INT"
    assert extracted(source, FULL, tmp_path, select) == [(1, 0, 0, 0, 0), (2, 1, -1, 1, -1)]


# Whatever the server is asked about instead of every row, the row with the NaN is among it.
HIDDEN = {
    "behind a zero": "INSERT INTO t VALUES (5, 0), (9, 'NaN')",
    "before a zero": "INSERT INTO t VALUES (-7, 'NaN'), (5, 0)",
    "where the id is NULL": "INSERT INTO t VALUES (5, 0), (NULL, 'NaN')",
    "where every id is NULL": "INSERT INTO t VALUES (NULL, 'NaN')",
    "with the largest id": "INSERT INTO t VALUES (9223372036854775807, 'NaN')",
}


@pytest.mark.parametrize("rows", HIDDEN.values(), ids=HIDDEN.keys())
def test_it_is_found_wherever_it_hides(postgres_url: str, tmp_path: Path, rows: str) -> None:
    source = filled(
        postgres_url,
        "CREATE TABLE t (id bigint, price numeric(12,2))",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i",
        rows,
    )
    with pytest.raises(DataError, match=r"Column price of public\.t holds NaN"):
        extracted(source, FULL, tmp_path, "*")


def test_a_table_without_whole_numbers_is_asked_about_every_row(postgres_url: str, tmp_path: Path) -> None:
    source = filled(
        postgres_url, "CREATE TABLE t (a numeric(4,2), b numeric(4,2))", "INSERT INTO t VALUES (0, 1), (1, 'NaN')"
    )
    with pytest.raises(DataError, match=r"Column b of public\.t holds NaN"):
        extracted(source, FULL, tmp_path, "*")
    filled(postgres_url, "UPDATE t SET b = 0 WHERE b = 'NaN'")
    assert extracted(source, FULL, tmp_path, "a::INT, b::INT") == [(0, 1), (1, 0)]


def test_of_a_window_only_its_own_rows_count_and_a_repeat_reads_them_all(postgres_url: str, tmp_path: Path) -> None:
    stream = StreamConfig("public.t", cursor="id")
    source = filled(
        postgres_url,
        "CREATE TABLE t (id int, price numeric(12,2))",
        "INSERT INTO t VALUES (1, 1), (2, 0), (3, 3)",
    )
    first = source.plan(stream, "incremental", Mark()).window
    assert first is not None
    # It came after the window was planned, and its price is no part of it.
    filled(postgres_url, "INSERT INTO t VALUES (4, 'NaN')")
    assert extracted(source, first, tmp_path, "id, price::INT", stream) == [(1, 1), (2, 0), (3, 3)]

    filled(postgres_url, "UPDATE t SET price = 'NaN' WHERE id = 2")
    with pytest.raises(DataError, match=r"Column price of public\.t holds NaN"):
        extracted(source, first, tmp_path, "*", stream)
    filled(postgres_url, "UPDATE t SET price = 7 WHERE id = 2")
    assert extracted(source, first, tmp_path, "id, price::INT", stream) == [(1, 1), (2, 7), (3, 3)]

    second = source.plan(stream, "incremental", Mark(upper=first.upper)).window
    assert second is not None
    with pytest.raises(DataError, match=r"Column price of public\.t holds NaN"):
        extracted(source, second, tmp_path, "*", stream)


def test_it_is_found_in_a_column_that_arrives_under_another_name(postgres_url: str, tmp_path: Path) -> None:
    source = filled(
        postgres_url, "CREATE TABLE t (id int, price numeric(12,2))", "INSERT INTO t VALUES (1, 0), (2, 'NaN')"
    )
    stream = StreamConfig("public.t", names={"id": "number", "price": "cost"})
    with pytest.raises(DataError, match=r"Column price of public\.t holds NaN"):
        extracted(source, FULL, tmp_path, "*", stream)
    filled(postgres_url, "UPDATE t SET price = 2 WHERE id = 2")
    assert extracted(source, FULL, tmp_path, "number, cost::INT", stream) == [(1, 0), (2, 2)]
