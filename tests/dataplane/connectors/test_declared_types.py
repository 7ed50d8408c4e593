"""A value in a type that an operator has declared arrives as it is, or the read names it: nothing is rounded or cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import psycopg
import pytest

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Window
from dataplane.errors import DataError
from tests.dataplane.connectors.databases import params_of, staged
from tests.mariadb import Database

# What a column is, what it holds, as what it is declared, and what arrives; None where nothing does.
CASES = [
    ("text", "7", "BIGINT", "7"),
    ("text", "-7", "INTEGER", "-7"),
    ("text", "1.5", "BIGINT", None),
    ("text", "1.00000000000000000001", "BIGINT", None),
    ("text", "12.50", "DECIMAL(10,1)", "12.5"),
    ("text", "12.55", "DECIMAL(10,1)", None),
    ("text", "2013-01-02", "DATE", "2013-01-02"),
    ("text", "2013-01-02 10:00:00", "DATE", None),
    ("text", "2013-01-02 10:00:00", "TIMESTAMP", "2013-01-02 10:00:00"),
    ("text", "2013-01-02T10:00:00+02:00", "TIMESTAMP", None),
    ("text", "x", "BIGINT", None),
    ("double precision", "7", "BIGINT", "7"),
    ("double precision", "1.5", "INTEGER", None),
    ("double precision", "0.1", "DECIMAL(10,2)", "0.10"),
    ("double precision", "0.125", "DECIMAL(10,2)", None),
    ("timestamp", "2013-01-02 00:00:00", "DATE", "2013-01-02"),
    ("timestamp", "2013-01-02 10:00:00", "DATE", None),
    ("numeric(10,2)", "1.50", "DECIMAL(10,1)", "1.5"),
    ("numeric(10,2)", "1.55", "DECIMAL(10,1)", None),
    ("numeric(10,2)", "1.55", "BIGINT", None),
    ("numeric(10,2)", "2.00", "BIGINT", "2"),
]


def walked(source: Connector, name: str) -> None:
    (info,) = source.discover()
    for place, (_, value, declared, arrives) in enumerate(CASES):
        column, case = f"c{place}", CASES[place]
        stream = StreamConfig(name, settings=info.settings, columns=(Column(column, declared),))
        if arrives is not None:
            read = staged(source, stream, Window("full"), f"typeof({column}), CAST({column} AS VARCHAR)")
            assert set(read) == {(declared, None), (declared, arrives)}, case
            continue
        with pytest.raises(DataError) as caught:
            staged(source, stream, Window("full"))
        assert caught.value.code in ("value", "number_out_of_range"), (case, caught.value.message)
        assert column in caught.value.message and value in caught.value.message, (case, caught.value.message)


def filled(do: Callable[[str], object], **types: str) -> None:
    columns = [f"c{place} {types.get(type_.partition('(')[0], type_)}" for place, (type_, *_) in enumerate(CASES)]
    do(f"CREATE TABLE t ({', '.join(columns)})")
    do(f"INSERT INTO t VALUES ({', '.join(repr(value) for _, value, *_ in CASES)})")
    do("INSERT INTO t (c0) VALUES (NULL)")


def test_postgresql(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        filled(database.execute)
        walked(build("postgresql", params_of(postgres_url)), "public.t")


def test_redshift(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as database:
        filled(database.execute, text="varchar(40)")
        source = build("redshift", {**params_of(postgres_url), "sslmode": "disable"})
        walked(source, "public.t")


def test_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as database:
        filled(database.execute)
    walked(build("duckdb", {"path": str(tmp_path / "a.duckdb")}, roots=[str(tmp_path)]), "main.t")


@pytest.mark.all
def test_mariadb(mysql: Database) -> None:
    filled(mysql.do, timestamp="datetime", numeric="decimal(10,2)")
    walked(build("mysql", mysql.params), "t")
