"""Rows into a table of PostgreSQL: every mode, every type, exactly once, and each refusal in its own words."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import psycopg
import pytest

from dataplane.connectors.destination import Load, Loaded, Rows, Watch
from dataplane.connectors.postgresql import PostgreSQL
from dataplane.engine import connector_instance
from dataplane.errors import CancelledError, ManifoldError
from dataplane.steps.base import ColumnType
from tests.dataplane.connectors.databases import connector

PIPELINE = uuid.UUID(int=7)
EARLIER, NOW, LATER = (uuid.UUID(int=each) for each in (10, 20, 30))
_instances: list[duckdb.DuckDBPyConnection] = []


@pytest.fixture(scope="module", autouse=True)
def _instance() -> Iterator[None]:
    """One instance for all loads of the module, each with a connection of its own."""
    with connector_instance(extensions=PostgreSQL.extensions, memory=2**28, threads=2) as found:
        _instances.append(found)
        yield
        _instances.remove(found)


def load(
    url: str, query: str, watch: Watch | None = None, params: dict[str, Any] | None = None, **about: Any
) -> Loaded:
    """Load what a query of DuckDB's yields into `t`, each time as a load of its own unless a key is given."""
    target = connector(url, **(params or {}))
    given = {"table": "t", "key": uuid.uuid4().hex, "mode": "append", "run": NOW, **about}
    duck = _instances[-1].cursor()
    columns = tuple(ColumnType(row[0], row[1]) for row in duck.execute(f"DESCRIBE {query}").fetchall())
    count = duck.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
    rows = Rows(duck, query, columns, count)
    return target.load(Load(pipeline=PIPELINE, step="out", **given), rows, watch or Watch())


def values(*rows: tuple[Any, ...], names: str = "id, v") -> str:
    return f"SELECT * FROM (VALUES {', '.join(map(repr_row, rows))}) r({names})"


def repr_row(row: tuple[Any, ...]) -> str:
    return f"({', '.join('NULL' if each is None else repr(each) for each in row)})"


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def do(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for each in statements:
            connection.execute(each)


def refusal(do: Callable[[], Any]) -> ManifoldError:
    with pytest.raises(ManifoldError) as caught:
        do()
    return caught.value


def test_it_works(postgres_url: str) -> None:
    first = load(postgres_url, values((1, "a"), (2, None)))
    assert first == Loaded("loaded", inserted=2, created=True)
    assert load(postgres_url, values((3, ""))) == Loaded("loaded", inserted=1)
    assert ask(postgres_url, "SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, None), (3, "")]
    assert load(postgres_url, values((9, "z")), mode="replace") == Loaded("loaded", inserted=1, deleted=3)
    assert ask(postgres_url, "SELECT id, v FROM t") == [(9, "z")]
    noted = ask(postgres_url, "SELECT mode, inserted, deleted FROM _manifold_loads ORDER BY loaded_at")
    assert noted == [("append", 2, 0), ("append", 1, 0), ("replace", 1, 3)]


def test_no_rows_are_a_load_too(postgres_url: str) -> None:
    nothing = values((1, "a")) + " WHERE false"
    assert load(postgres_url, nothing) == Loaded("loaded", created=True)
    load(postgres_url, values((1, "a"), (2, "b")))
    assert load(postgres_url, nothing, mode="merge", by=("id",)) == Loaded("loaded")
    assert load(postgres_url, nothing, mode="merge", by=("id",), delete_missing=True).deleted == 2
    load(postgres_url, values((1, "a")))
    assert load(postgres_url, nothing, mode="replace").deleted == 1
    assert ask(postgres_url, "SELECT count(*) FROM t") == [(0,)]


def test_rows_that_others_refer_to(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')")
    do(postgres_url, "CREATE TABLE r (id int REFERENCES t)", "INSERT INTO r VALUES (1)")
    error = refusal(lambda: load(postgres_url, values((1, "b")), mode="replace"))
    assert error.code == "foreign_key_violation" and "merge" in error.message
    assert load(postgres_url, values((1, "b")), mode="merge", by=("id",)).updated == 1


def test_names_that_need_quotes(postgres_url: str) -> None:
    do(postgres_url, 'CREATE SCHEMA "a""b"')
    rows = """SELECT 1 AS "i d", 'x' AS "sel""ect" """
    for mode in ("append", "replace", "merge"):
        load(postgres_url, rows, table='a"b.T x', mode=mode, by=("I D",) if mode == "merge" else ())
    assert ask(postgres_url, 'SELECT "i d", "sel""ect" FROM "a""b"."T x"') == [(1, "x")]


def test_the_ledger_is_no_stream(postgres_url: str) -> None:
    load(postgres_url, values((1, "a")))
    assert [each.name for each in connector(postgres_url).discover()] == ["public.t"]


def test_merge(postgres_url: str) -> None:
    def merge(query: str, **about: Any) -> Loaded:
        return load(postgres_url, query, mode="merge", by=("ID",), **about)

    assert merge(values((1, "a"), (2, "b"), (3, None))) == Loaded("loaded", inserted=3, created=True)
    assert merge(values((2, "B"), (3, None), (4, "d"))) == Loaded("loaded", inserted=1, updated=1, skipped=1)
    assert ask(postgres_url, "SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, None), (4, "d")]
    gone = merge(values((4, "d"), (5, "e")), delete_missing=True)
    assert gone == Loaded("loaded", inserted=1, deleted=3, skipped=1)
    assert ask(postgres_url, "SELECT id, v FROM t ORDER BY id") == [(4, "d"), (5, "e")]
    assert ask(postgres_url, "SELECT count(*) FROM pg_index i WHERE i.indrelid = 't'::regclass AND indisprimary") == [
        (1,)
    ]


def test_a_merge_keeps_the_columns_that_do_not_arrive(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int, v text, note json, at timestamptz DEFAULT '2020-01-01')")
    do(postgres_url, "INSERT INTO t VALUES (1, 'a', '{}')")
    assert load(postgres_url, values((1, "b"), (2, "c")), mode="merge", by=("id",)).updated == 1
    assert ask(postgres_url, "SELECT id, v, note::text, at::date::text FROM t ORDER BY id") == [
        (1, "b", "{}", "2020-01-01"),
        (2, "c", None, "2020-01-01"),
    ]


def test_a_repeated_load_finds_itself_done(postgres_url: str) -> None:
    load(postgres_url, values((1, "a"), (2, "b")), key="k")
    assert load(postgres_url, values((1, "x")), key="k", run=LATER) == Loaded("already_done", inserted=2)
    assert ask(postgres_url, "SELECT count(*) FROM t") == [(2,)]
    assert load(postgres_url, values((1, "x")), key="k", table="other").status == "loaded", (
        "another table, another load"
    )


def test_a_run_that_was_thought_dead_does_not_undo_a_later_one(postgres_url: str) -> None:
    load(postgres_url, values((1, "new")), mode="replace", run=LATER)
    assert load(postgres_url, values((1, "old")), mode="replace", run=EARLIER).status == "overtaken"
    assert ask(postgres_url, "SELECT v FROM t") == [("new",)]


def test_whoever_reads_sees_all_of_the_old_rows_or_all_of_the_new_ones(postgres_url: str) -> None:
    """In an old snapshot, too: a table that is truncated or renamed would be empty in it."""
    load(postgres_url, "SELECT 1 AS id, i AS n FROM range(1000) r(i)")
    seen: list[Any] = []
    with psycopg.connect(postgres_url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT 1")

        def look(place: str) -> None:
            with psycopg.connect(postgres_url) as other:
                seen.append(other.execute("SELECT id, count(*) FROM t GROUP BY id").fetchall())

        load(postgres_url, "SELECT 2 AS id, i AS n FROM range(500) r(i)", Watch(passed=look), mode="replace")
        seen.append(reader.execute("SELECT id, count(*) FROM t GROUP BY id").fetchall())
    assert seen == [[(1, 1000)]] * 3 + [[(2, 500)]] + [[(1, 1000)]]


def test_two_loads_into_a_table_wait_for_each_other(postgres_url: str) -> None:
    told: list[str] = []
    done: list[Loaded] = []
    other = threading.Thread(
        target=lambda: done.append(load(postgres_url, values((1, "a")), Watch(waits=told.append), key="same"))
    )

    def begin_the_other(place: str) -> None:
        if place == "settled":
            other.start()
            while not told:
                other.join(0.01)

    load(postgres_url, values((1, "a")), Watch(passed=begin_the_other), key="same")
    other.join()
    assert told == ["Waits until another load into public.t is over."]
    assert [each.status for each in done] == ["already_done"]
    assert ask(postgres_url, "SELECT count(*) FROM t") == [(1,)]


def test_a_load_can_be_cancelled_while_it_waits(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int, v text)")
    interrupts: list[Callable[[], object]] = []

    def cancel() -> None:
        while not ask(postgres_url, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"):
            pass
        interrupts[0]()

    cancelling = threading.Thread(target=cancel)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE t")
        watch = Watch(on_cancel=interrupts.append, passed=lambda place: cancelling.start())
        with pytest.raises(CancelledError):
            load(postgres_url, values((1, "a")), watch, mode="replace")
    cancelling.join()
    assert ask(postgres_url, "SELECT count(*) FROM t") == [(0,)]


TYPES = [
    ("BOOLEAN", "true", "boolean", "true"),
    ("TINYINT", "-5", "smallint", "-5"),
    ("UTINYINT", "255", "smallint", "255"),
    ("USMALLINT", "65535", "integer", "65535"),
    ("UINTEGER", "4294967295", "bigint", "4294967295"),
    ("BIGINT", "9223372036854775807", "bigint", "9223372036854775807"),
    ("UBIGINT", "18446744073709551615", "numeric", "18446744073709551615"),
    (
        "DECIMAL(38,10)",
        "-1234567890123456789012345678.0123456789",
        "numeric",
        "-1234567890123456789012345678.0123456789",
    ),
    ("FLOAT", "'nan'", "real", "NaN"),
    ("DOUBLE", "'nan'", "double precision", "NaN"),
    ("DOUBLE", "'-inf'", "double precision", "-Infinity"),
    ("VARCHAR", "'a,\"b\"\n\\ü'", "text", 'a,"b"\n\\ü'),
    ("JSON", """'{"b": 1,  "a": [1]}'""", "json", '{"b": 1,  "a": [1]}'),
    ("BLOB", r"'\x00\xFF'", "bytea", "\\x00ff"),
    ("DATE", "'0044-03-15 (BC)'", "date", "0044-03-15 BC"),
    ("DATE", "'infinity'", "date", "infinity"),
    ("TIMESTAMP", "'2020-02-29 01:02:03.000001'", "timestamp without time zone", "2020-02-29 01:02:03.000001"),
    ("TIMESTAMPTZ", "'2020-02-29 01:02:03.000001+05'", "timestamp with time zone", "2020-02-28 20:02:03.000001+00"),
    ("TIME", "'24:00:00'", "time without time zone", "24:00:00"),
    ("TIMETZ", "'01:02:03+05'", "time with time zone", "01:02:03+05"),
    ("UUID", "'6b3f1c1e-0000-0000-ffff-000000000001'", "uuid", "6b3f1c1e-0000-0000-ffff-000000000001"),
    ("INTEGER[]", "[1, NULL, 3]", "ARRAY", "{1,NULL,3}"),
    ("VARCHAR[]", "['a', 'b,\"c', NULL, '']", "ARRAY", '{a,"b,\\"c",NULL,""}'),
    ("BOOLEAN[]", "[true]", "ARRAY", "{t}"),
    ("DOUBLE[]", "[0.1]", "ARRAY", "{0.1}"),
    ("TIMESTAMPTZ[]", "['2020-01-01 00:00:00+00']", "ARRAY", '{"2020-01-01 00:00:00+00"}'),
    ("DECIMAL(6,2)[]", "[1.5]", "json", "[1.5]"),
    ("INTEGER[][]", "[[1], [2, 3]]", "json", "[[1],[2,3]]"),
    ("STRUCT(a INTEGER, b VARCHAR)", "{'a': 1, 'b': 'x'}", "json", '{"a":1,"b":"x"}'),
]


def test_every_type_of_a_new_table_keeps_its_values(postgres_url: str) -> None:
    items = ", ".join(f"CAST({value} AS {type_}) AS c{place}" for place, (type_, value, *_) in enumerate(TYPES))
    nulls = ", ".join(f"NULL::{type_}" for type_, *_ in TYPES)
    load(postgres_url, f"SELECT 1 AS id, {items} UNION ALL SELECT 2, {nulls}")
    texts = ", ".join(f"c{place}::text" for place in range(len(TYPES)))
    with psycopg.connect(postgres_url, options="-c TimeZone=UTC") as connection:
        found, empty = connection.execute(f"SELECT {texts} FROM t ORDER BY id").fetchall()
    kinds = dict(
        ask(postgres_url, "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't'")
    )
    for place, (type_, _, kind, text) in enumerate(TYPES):
        assert (type_, kinds[f"c{place}"], found[place]) == (type_, kind, text)
    assert set(empty) == {None}


OTHERS = [
    ("numeric", "1.50::DECIMAL(4,2)", "1.50"),
    ("numeric(10,3)", "1.5::DECIMAL(4,2)", "1.500"),
    ("integer", "7::BIGINT", "7"),
    ("bigint", "7::DECIMAL(20,0)", "7"),
    ("text", "7::BIGINT", "7"),
    ("jsonb", """'{"a": 1}'""", '{"a": 1}'),
    ("uuid", "'6b3f1c1e-0000-0000-ffff-000000000001'", "6b3f1c1e-0000-0000-ffff-000000000001"),
    ("inet", "'10.0.0.1'", "10.0.0.1/32"),
    ("interval", "'1 mon 00:00:00.000001'", "1 mon 00:00:00.000001"),
    ("numeric", "'1e-30'", "0.000000000000000000000000000001"),
    ("varchar(3)", "'abc'", "abc"),
    ("char(3)", "'ab'", "ab"),
    ("bit(3)", "'101'", "101"),
    ("mood", "'fine'", "fine"),
    ("positive", "3", "3"),
    ("timestamp", "DATE '2020-01-01'", "2020-01-01 00:00:00"),
    ("double precision", "0.5::FLOAT", "0.5"),
    ("text[]", "['a']", "{a}"),
]


def test_a_table_of_other_types_takes_what_it_can_hold(postgres_url: str) -> None:
    columns = ", ".join(f"c{place} {native}" for place, (native, *_) in enumerate(OTHERS))
    do(
        postgres_url,
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        f"CREATE TABLE t (id int, {columns})",
    )
    query = f"SELECT 1 AS id, {', '.join(f'{value} AS c{place}' for place, (_, value, _) in enumerate(OTHERS))}"
    assert load(postgres_url, query).inserted == 1
    assert load(postgres_url, query, mode="merge", by=("id",)).skipped == 1
    texts = ", ".join(f"c{place}::text" for place in range(len(OTHERS)))
    assert ask(postgres_url, f"SELECT {texts} FROM t") == [tuple(text for *_, text in OTHERS)]


@pytest.mark.parametrize(
    ("native", "value", "code"),
    [
        ("numeric(10,1)", "1.55::DECIMAL(4,2)", "type_mismatch"),
        ("real", "0.1::DOUBLE", "type_mismatch"),
        ("numeric", "0.1::DOUBLE", "type_mismatch"),
        ("timestamp(0)", "TIMESTAMP '2020-01-01 00:00:00.5'", "type_mismatch"),
        ("timestamp", "TIMESTAMPTZ '2020-01-01 00:00:00+05'", "type_mismatch"),
        ("timestamptz", "TIMESTAMP '2020-01-01'", "type_mismatch"),
        ("date", "'today'", "type_mismatch"),
        ("integer", "'1'", "type_mismatch"),
        ("integer", "1.5", "type_mismatch"),
        ("double precision", "7::BIGINT", "type_mismatch"),
        ("smallint", "70000", "value"),
        ("numeric(4,2)", "123.45::DECIMAL(6,2)", "value"),
        ("varchar(3)", "'abcd'", "value"),
        ("char(3)", "'abcd'", "value"),
        ("jsonb", "'{'", "value"),
        ("uuid", "'x'", "value"),
        ("text", "chr(0)", "value"),
        ("text NOT NULL", "NULL::VARCHAR", "not_null_violation"),
        ("int CHECK (v > 0)", "-1", "check_violation"),
        ("int GENERATED ALWAYS AS (id) STORED", "1", "column_generated"),
        ("text", "TIMESTAMP_NS '2020-01-01 00:00:00.123456789'", "column_unsupported"),
    ],
)
def test_nothing_changes_silently(module_postgres_url: str, native: str, value: str, code: str) -> None:
    do(module_postgres_url, "DROP TABLE IF EXISTS t CASCADE", f"CREATE TABLE t (id int, v {native})")
    error = refusal(lambda: load(module_postgres_url, f"SELECT 1 AS id, {value} AS v", policy="freeze"))
    assert error.code == code, error.message
    assert "t" in error.message and len(error.message.split(". ")) > 1, "the place, and a remedy"
    assert ask(module_postgres_url, "SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(
    ("native", "value", "wide"),
    [
        ("smallint", "70000", "integer"),
        ("integer", "3000000000", "bigint"),
        ("integer", "3000000000::UINTEGER", "bigint"),
        ("varchar(3)", "'abcd'", "character varying(6)"),
        ("varchar(3)", "repeat('x', 20)", "character varying(20)"),
        ("numeric(4,2)", "123.45::DECIMAL(6,2)", "numeric(6,2)"),
        ("numeric(10,1)", "1.55::DECIMAL(4,2)", "numeric(11,2)"),
        ("numeric(4,2)", "70000", "numeric(12,2)"),
        # Values that fit leave the column as it is.
        ("integer", "7::BIGINT", "integer"),
        ("varchar(3)", "'abc'", "character varying(3)"),
        ("numeric(4,2)", "1.50::DECIMAL(9,2)", "numeric(4,2)"),
    ],
)
def test_columns_become_wider_where_values_need_it(
    module_postgres_url: str, native: str, value: str, wide: str
) -> None:
    do(
        module_postgres_url,
        "DROP TABLE IF EXISTS t CASCADE",
        f"CREATE TABLE t (id int, v {native} DEFAULT '1' NOT NULL)",
    )
    do(module_postgres_url, "INSERT INTO t VALUES (0, '1')")
    done = load(module_postgres_url, f"SELECT 1 AS id, {value} AS V", mode="merge", by=("id",))
    assert done.inserted == 1
    assert bool(done.widened) == (wide != native.replace("varchar", "character varying"))
    about = "SELECT format_type(atttypid, atttypmod), attnotnull, atthasdef FROM pg_attribute"
    assert ask(module_postgres_url, f"{about} WHERE attrelid = 't'::regclass AND attname = 'v'") == [(wide, True, True)]
    sent = _instances[-1].execute(f"SELECT {value}").fetchall()
    assert ask(module_postgres_url, "SELECT v FROM t WHERE id = 1") == sent


def test_a_column_that_cannot_become_wider_is_named(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int, v smallint)", "CREATE VIEW seen AS SELECT v FROM t")
    error = refusal(lambda: load(postgres_url, "SELECT 1 AS id, 70000 AS v"))
    assert (error.error_class, error.code) == ("data", "cannot_widen")
    assert "`v` of t is smallint, and values arrive that need int4" in error.message
    assert "view" in error.message and "cast in a sql step" in error.message
    assert load(postgres_url, "SELECT 1 AS id, 7::INTEGER AS v").inserted == 1


def test_new_columns_are_added_unless_the_schema_is_frozen(postgres_url: str) -> None:
    load(postgres_url, "SELECT 1 AS id")
    frozen = refusal(lambda: load(postgres_url, values((2, "b")), policy="freeze"))
    assert (frozen.code, frozen.evidence["new"]) == ("schema_frozen", ["v"])
    assert load(postgres_url, values((2, "b"))).added == ("v",)
    missing = refusal(lambda: load(postgres_url, "SELECT 3 AS id", policy="freeze"))
    assert (missing.code, missing.evidence["missing"]) == ("schema_frozen", ["v"])
    load(postgres_url, "SELECT 3 AS ID")
    assert ask(postgres_url, "SELECT id, v FROM t ORDER BY id") == [(1, None), (2, "b"), (3, None)]


def test_a_column_that_the_table_needs(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int, v text NOT NULL, n serial, at date NOT NULL DEFAULT now())")
    error = refusal(lambda: load(postgres_url, "SELECT 1 AS id"))
    assert (error.code, error.evidence["missing"]) == ("column_missing", ["v"])
    load(postgres_url, values((1, "a")))


def test_a_table_that_vanished(postgres_url: str) -> None:
    load(postgres_url, values((1, "a")))
    do(postgres_url, "DROP TABLE t")
    error = refusal(lambda: load(postgres_url, values((2, "b"))))
    assert error.code == "table_missing"
    assert "`out`" in error.message and "seed" in error.message
    assert load(postgres_url, values((2, "b")), complete=True).created


def test_a_key_that_stands_twice_in_the_table(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int, v text)", "INSERT INTO t VALUES (1, 'a'), (1, 'b'), (2, 'c'), (2, 'd')")
    error = refusal(lambda: load(postgres_url, values((1, "x")), mode="merge", by=("id",)))
    assert error.code == "key_twice_in_table"
    assert "2 rows with id = 1" in error.message
    assert load(postgres_url, values((3, "x")), mode="merge", by=("id",)).inserted == 1, "others may stand twice"


def test_what_is_no_place_for_rows(postgres_url: str) -> None:
    do(postgres_url, "CREATE VIEW v AS SELECT 1 AS id")
    assert refusal(lambda: load(postgres_url, "SELECT 1 AS id", table="v")).code == "not_a_table"
    assert refusal(lambda: load(postgres_url, "SELECT 1 AS id", table="mart.t")).code == "schema_missing"
    assert refusal(lambda: load(postgres_url, "SELECT 1 AS id", table="_manifold_loads")).code == "table_name"
    assert refusal(lambda: load(postgres_url, "SELECT 1 AS id", table="x" * 64)).code == "table_name"


def test_a_unique_constraint(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'a')")
    error = refusal(lambda: load(postgres_url, values((2, "b"), (1, "x"))))
    assert error.code == "unique_violation"
    assert ask(postgres_url, "SELECT id FROM t") == [(1,)]


def test_a_refused_grant(postgres_url: str, superuser_url: str) -> None:
    role, password = f"guest_{uuid.uuid4().hex[:8]}", "secret-canary"
    do(superuser_url, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    try:
        do(postgres_url, "CREATE TABLE t (id int, v text)")
        guest = {"user": role, "password": password}
        error = refusal(lambda: load(postgres_url, values((1, "a")), params=guest))
        assert error.code == "missing_grant"
        assert role in error.message and "GRANT" in error.message and password not in str(error.as_json())
        do(postgres_url, f"GRANT CREATE ON SCHEMA public TO {role}")
        error = refusal(lambda: load(postgres_url, values((1, "a")), params=guest))
        assert error.code == "missing_grant" and "permission denied for table t" in error.message
        do(postgres_url, f"GRANT INSERT ON t TO {role}")
        assert load(postgres_url, values((1, "a")), params=guest).inserted == 1, "an append needs no more"
    finally:
        do(superuser_url.rpartition("/")[0] + "/" + postgres_url.rpartition("/")[2], f"DROP OWNED BY {role}")
        do(superuser_url, f"DROP ROLE {role}")


def test_rows_secured_one_by_one(postgres_url: str) -> None:
    do(postgres_url, "CREATE TABLE t (id int, v text)", "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    do(postgres_url, "ALTER TABLE t FORCE ROW LEVEL SECURITY", "CREATE POLICY p ON t USING (id < 10)")
    assert load(postgres_url, values((1, "a"))).inserted == 1
    assert refusal(lambda: load(postgres_url, values((11, "a")))).code == "missing_grant"
