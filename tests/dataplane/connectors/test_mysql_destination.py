"""Rows into tables of MariaDB: every mode, every type, exactly once, and every refusal with its reason."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.connectors.databases import ledger
from dataplane.connectors.databases.widening import Wider
from dataplane.connectors.destination import Load, Loaded, Rows, Watch
from dataplane.connectors.mysql import MySQL, session, tables
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Window
from dataplane.engine import connector_instance
from dataplane.errors import CancelledError, ManifoldError
from dataplane.steps.base import ColumnType
from tests.dataplane.connectors.databases import staged
from tests.mariadb import Database

pytestmark = pytest.mark.all

PIPELINE = uuid.UUID(int=7)
EARLIER, NOW, LATER = (uuid.UUID(int=each) for each in (10, 20, 30))


class Target:
    """A database, and loads into its table `t`."""

    def __init__(self, base: Database) -> None:
        self.base = base
        self.connector = MySQL(MySQL.Params(**base.params))

    def load(self, query: str, watch: Watch | None = None, **about: Any) -> Loaded:
        """Load what a query yields, each time as a load of its own unless a key is given."""
        given = {"table": "t", "key": uuid.uuid4().hex, "mode": "append", "run": NOW, **about}
        with connector_instance(extensions=MySQL.extensions, memory=2**28, threads=2) as duck:
            columns = tuple(ColumnType(row[0], row[1]) for row in duck.execute(f"DESCRIBE {query}").fetchall())
            count = duck.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]
            rows = Rows(duck, query, columns, count)
            return self.connector.load(Load(pipeline=PIPELINE, step="out", **given), rows, watch or Watch())


@pytest.fixture
def target(mysql: Database) -> Target:
    return Target(mysql)


def values(*rows: tuple[Any, ...], names: str = "id, v") -> str:
    listed = ", ".join("(" + ", ".join("NULL" if each is None else repr(each) for each in row) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {listed}) r({names})"


def refusal(do: Callable[[], Any]) -> ManifoldError:
    with pytest.raises(ManifoldError) as caught:
        do()
    return caught.value


def test_it_works(target: Target) -> None:
    assert target.load(values((1, "a"), (2, None))) == Loaded("loaded", inserted=2, created=True)
    assert target.load(values((3, ""))) == Loaded("loaded", inserted=1)
    assert target.base.ask("SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, None), (3, "")]
    assert target.load(values((9, "z")), mode="replace") == Loaded("loaded", inserted=1, deleted=3)
    assert target.load("SELECT 1 AS id, 'x' AS v WHERE false") == Loaded("loaded")
    assert target.base.ask("SELECT id, v FROM t") == [(9, "z")]
    noted = target.base.ask("SELECT mode, inserted, deleted FROM _manifold_loads ORDER BY mode, inserted, deleted")
    assert noted == [("append", 0, 0), ("append", 1, 0), ("append", 2, 0), ("replace", 1, 3)]
    assert [each.name for each in target.connector.discover()] == ["t"]


def test_columns_become_wider_where_values_need_it(target: Target) -> None:
    target.base.do(
        "CREATE TABLE t (id int unsigned NOT NULL DEFAULT 7 COMMENT 'it''s, a key' PRIMARY KEY, "
        "v varchar(3) CHARACTER SET latin1 COLLATE latin1_german2_ci NOT NULL DEFAULT 'x', n decimal(4,2) NULL)"
    )
    target.base.do("INSERT INTO t VALUES (1, 'abc', 1.25)")
    assert target.load("SELECT 2::UBIGINT AS id, 'abc' AS v, 1.5::DECIMAL(9,2) AS n").widened == ()
    done = target.load(
        "SELECT 5000000000::UBIGINT AS id, 'abcd' AS v, 123.5::DECIMAL(4,1) AS n", mode="merge", by=("id",)
    )
    assert [each.partition(":")[0] for each in done.widened] == ["id", "v", "n"]
    made = str(target.base.ask("SHOW CREATE TABLE t")[0][1])
    for kept in ("bigint", "unsigned NOT NULL DEFAULT 7 COMMENT 'it''s, a key'", "varchar(6)", "latin1_german2_ci"):
        assert kept in made
    assert "decimal(5,2)" in made
    assert target.base.ask("SELECT id, v, n + 0.0 FROM t ORDER BY id")[-1][:2] == (5_000_000_000, "abcd")


def test_a_column_that_cannot_become_wider_is_named(target: Target) -> None:
    target.base.do("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE refers (id int REFERENCES t (id))")
    error = refusal(lambda: target.load("SELECT 5000000000 AS id"))
    assert (error.code, "`id` of t is int" in error.message) == ("cannot_widen", True)


def test_a_text_in_an_index_becomes_as_wide_as_it_has_to_be(target: Target) -> None:
    target.base.do("CREATE TABLE t (v varchar(400) PRIMARY KEY) CHARACTER SET utf8mb4")
    done = target.load("SELECT repeat('x', 401) AS v")
    assert (done.inserted, done.widened) == (1, ("v: varchar(400) to varchar(401)",))
    error = refusal(lambda: target.load("SELECT repeat('x', 800) AS v"))
    assert error.code == "cannot_widen" and "varchar(401), and values arrive that need varchar(800)" in error.message


def test_a_column_whose_declaration_nobody_tells_is_left_as_it_is(target: Target) -> None:
    target.base.do("CREATE TABLE t (id int NOT NULL DEFAULT 7)")
    before = target.base.ask("SHOW CREATE TABLE t")
    given = Load(pipeline=PIPELINE, step="out", table="t", key="1", mode="append", run=NOW)
    with session.writing(target.connector.params, 20.0) as connection:
        name = tables.named(given, target.base.name)
        wider = [Wider("id", "integer", number="BIGINT")]
        assert refusal(lambda: tables.widen(connection, given, name, wider)).code == "cannot_widen"
    assert target.base.ask("SHOW CREATE TABLE t") == before


def test_the_ledger_forgets_only_what_is_known_elsewhere(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT", 1)
    monkeypatch.setattr(ledger, "AT_ONCE", 1)
    for number in range(4):
        target.load(values((number, "a")), key=str(number), run=uuid.UUID(int=number), settled=lambda keys: {"0"})
    assert target.base.ask("SELECT load_key FROM _manifold_loads ORDER BY load_key") == [("1",), ("2",), ("3",)]


def test_whoever_may_not_delete_keeps_the_ledger_and_loads(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "KEPT", 1)
    monkeypatch.setattr(ledger, "AT_ONCE", 1)
    target.load(values((0, "a")), key="0", run=uuid.UUID(int=1))
    target.base.do(f"REVOKE DELETE ON {target.base.name}.* FROM {target.base.name}@'127.0.0.1'")
    for number in range(1, 4):
        done = target.load(values((number, "a")), key=str(number), run=uuid.UUID(int=number + 1), settled=set)
        assert done.inserted == 1
    for what in ("t", "_manifold_loads"):
        assert target.base.ask(f"SELECT count(*) FROM {what}") == [(4,)]


def test_merge(target: Target) -> None:
    def merge(query: str, **about: Any) -> Loaded:
        return target.load(query, mode="merge", by=("ID",), **about)

    assert merge(values((1, "a"), (2, "b"), (3, None))) == Loaded("loaded", inserted=3, created=True)
    assert merge(values((2, "B"), (3, None), (4, "d"))) == Loaded("loaded", inserted=1, updated=1, skipped=1)
    assert target.base.ask("SELECT id, v FROM t ORDER BY id") == [(1, "a"), (2, "B"), (3, None), (4, "d")]
    gone = merge(values((4, "d"), (5, "e")), delete_missing=True)
    assert gone == Loaded("loaded", inserted=1, deleted=3, skipped=1)
    assert merge(values((4, "x", True), names="id, v, new")).added == ("new",)
    assert target.base.ask("SELECT v, new FROM t ORDER BY id") == [("x", 1), ("e", None)]
    assert merge(values((4, False), names="id, new")) == Loaded("loaded", updated=1)
    assert target.base.ask("SELECT v, new FROM t ORDER BY id") == [("x", 0), ("e", None)], "v does not arrive and stays"


def test_a_merge_sees_what_the_collation_does_not(target: Target) -> None:
    target.base.do("CREATE TABLE t (id int, v varchar(9)) COLLATE utf8mb4_general_ci", "INSERT INTO t VALUES (1, 'a')")
    assert target.load(values((1, "A ")), mode="merge", by=("id",)).updated == 1
    assert target.base.ask("SELECT hex(v) FROM t") == [("4120",)]


def test_keys_of_texts_are_told_apart_by_their_bytes(target: Target) -> None:
    rows = values(("a", 1), ("A", 2), ("a ", 3), names="id, v")
    assert target.load(rows, mode="merge", by=("id",)).inserted == 3
    assert target.load(rows, mode="merge", by=("id",)).skipped == 3


def test_a_key_that_is_too_long_for_an_index(target: Target) -> None:
    target.base.do("CREATE TABLE t (id text, v int)")
    assert target.load(values(("a", 1)), mode="merge", by=("id",)).inserted == 1
    assert target.load(values(("a", 2)), mode="merge", by=("id",)).updated == 1


def test_keys_that_the_table_does_not_tell_apart_are_refused(target: Target) -> None:
    target.base.do("CREATE TABLE t (id varchar(9), v int) COLLATE utf8mb4_general_ci")
    error = refusal(lambda: target.load(values(("a", 1), ("A", 2)), mode="merge", by=("id",)))
    assert error.code == "key_twice"
    target.base.do("INSERT INTO t VALUES ('b', 1), ('B', 2)")
    assert refusal(lambda: target.load(values(("b", 1)), mode="merge", by=("id",))).code == "key_twice_in_table"


def test_a_repeated_load_finds_itself_done(target: Target) -> None:
    target.load(values((1, "a"), (2, "b")), key="k")
    assert target.load(values((1, "x")), key="k", run=LATER) == Loaded("already_done", inserted=2)
    assert target.base.ask("SELECT count(*) FROM t") == [(2,)]
    target.load(values((1, "new")), mode="replace", run=LATER)
    assert target.load(values((1, "old")), mode="replace", run=EARLIER).status == "overtaken"
    assert target.base.ask("SELECT v FROM t") == [("new",)]


def test_a_table_that_has_vanished(target: Target) -> None:
    target.load(values((1, "a")))
    target.base.do("DROP TABLE t")
    assert refusal(lambda: target.load(values((2, "b")))).code == "table_missing"
    assert target.load(values((2, "b")), complete=True).created


@pytest.mark.parametrize("mode", ["replace", "merge"])
def test_readers_see_the_old_rows_until_the_commit(target: Target, mode: str) -> None:
    target.load(values((1, "a"), (2, "b")), mode="merge", by=("id",))
    seen: dict[str, list[tuple[Any, ...]]] = {}

    def look(place: str) -> None:
        seen[place] = target.base.ask("SELECT id, v FROM t ORDER BY id")

    by = ("id",) if mode == "merge" else ()
    target.load(values((2, "B"), (3, "c")), Watch(passed=look), mode=mode, by=by, delete_missing=mode == "merge")
    assert list(seen) == ["begun", "copied", "settled", "kept"]
    assert seen["begun"] == seen["copied"] == seen["settled"] == [(1, "a"), (2, "b")]
    assert seen["kept"] == [(2, "B"), (3, "c")]


@pytest.mark.parametrize(
    ("definition", "query", "about", "code"),
    [
        ("id int", values((1, 2.5), names="id, w"), {"policy": "freeze"}, "schema_frozen"),
        ("id int, w varchar(9)", values((1,), names="id"), {"policy": "freeze"}, "schema_frozen"),
        ("id int, w int NOT NULL", values((1,), names="id"), {}, "column_missing"),
        ("id int, w int AS (id + 1) STORED", values((1, 2), names="id, w"), {}, "column_generated"),
        ("id int PRIMARY KEY", "SELECT unnest([1, 1]) AS id", {}, "unique_violation"),
        ("id int NOT NULL", "SELECT NULL::INTEGER AS id", {}, "not_null_violation"),
        ("id timestamp NOT NULL", "SELECT NULL::TIMESTAMPTZ AS id", {}, "value"),
        ("id tinyint", "SELECT 128 AS id", {"policy": "freeze"}, "value"),
        ("id int unsigned", "SELECT -1 AS id", {}, "value"),
        ("id varchar(3)", "SELECT 'abcd' AS id", {"policy": "freeze"}, "value"),
        ("id varchar(3) CHARACTER SET latin1", "SELECT '漢' AS id", {}, "value"),
        ("id enum('a', 'b')", "SELECT 'c' AS id", {}, "value"),
        ("id enum('a', 'b')", "SELECT '1' AS id", {}, "value"),
        ("id varchar(3)", "SELECT 'abc ' AS id", {"policy": "freeze"}, "value"),
        ("id json", "SELECT '{' AS id", {}, "check_violation"),
        ("id uuid", "SELECT 'no' AS id", {}, "value"),
        ("id decimal(5,2)", "SELECT 1234.5::DECIMAL(5,1) AS id", {"policy": "freeze"}, "value"),
        ("id datetime", "SELECT TIMESTAMP '2024-01-01 00:00:00.5' AS id", {}, "value"),
        ("id datetime(3)", "SELECT TIMESTAMP '2024-01-01 00:00:00.0005' AS id", {}, "value"),
        ("id time", "SELECT TIME '10:00:00.5' AS id", {}, "value"),
        ("id date", "SELECT DATE '0044-03-15 (BC)' AS id", {}, "value"),
        ("id date", "SELECT 'infinity'::DATE AS id", {}, "value"),
        ("id timestamp(6) NULL", "SELECT TIMESTAMPTZ '1950-01-01 00:00:00+00' AS id", {}, "value"),
        ("id double", "SELECT 'NaN'::DOUBLE AS id", {}, "value"),
        ("id double", "SELECT '-inf'::DOUBLE AS id", {}, "value"),
        ("id decimal(5,1)", "SELECT 1.25 AS id", {"policy": "freeze"}, "type_mismatch"),
        ("id float", "SELECT 1.5::DOUBLE AS id", {}, "type_mismatch"),
        ("id float(7,2)", "SELECT 1.5::FLOAT AS id", {}, "type_mismatch"),
        ("id double", "SELECT 1::BIGINT AS id", {}, "type_mismatch"),
        ("id int", "SELECT 'a' AS id", {}, "type_mismatch"),
        ("id datetime(6)", "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' AS id", {}, "type_mismatch"),
        ("id binary(4)", "SELECT 'ab'::BLOB AS id", {}, "type_mismatch"),
        ("id year", "SELECT 2024 AS id", {}, "type_mismatch"),
    ],
)
def test_what_does_not_go_is_refused(
    target: Target, definition: str, query: str, about: dict[str, Any], code: str
) -> None:
    target.base.do(f"CREATE TABLE t ({definition})")
    error = refusal(lambda: target.load(query, **about))
    assert (error.code, error.error_class) == (code, "configuration" if code == "column_generated" else "data")
    assert target.base.ask("SELECT count(*) FROM t") == [(0,)]
    assert target.base.ask("SELECT count(*) FROM _manifold_loads") == [(0,)], "nothing of it is there"


@pytest.mark.parametrize(
    ("statement", "about", "code"),
    [
        ("CREATE VIEW t AS SELECT 1 AS id", {}, "not_a_table"),
        ("CREATE TABLE t (id int) ENGINE = MyISAM", {}, "not_transactional"),
        ("SELECT 1", {"table": "nowhere.t"}, "missing_grant"),
        ("SELECT 1", {"table": "_manifold_loads"}, "table_name"),
        ("SELECT 1", {"table": "t" * 65}, "table_name"),
        ("CREATE TABLE t (v int)", {"mode": "merge", "by": ("id",), "policy": "evolve"}, "key_missing"),
    ],
)
def test_where_nothing_can_be_loaded(target: Target, statement: str, about: dict[str, Any], code: str) -> None:
    target.base.ask(statement) if statement.startswith("SELECT") else target.base.do(statement)
    assert refusal(lambda: target.load("SELECT 1 AS id", **about)).code == code


# What arrives, as DuckDB's SQL; each is loaded into a new table and read again.
ARRIVING = [
    "true", "CAST(-128 AS TINYINT)", "255::UTINYINT", "CAST(-32768 AS SMALLINT)", "65535::USMALLINT",
    "CAST(-2147483648 AS INTEGER)",
    "4294967295::UINTEGER", "CAST(-9223372036854775808 AS BIGINT)", "18446744073709551615::UBIGINT",
    "170141183460469231731687303715884105::HUGEINT", "0.1::FLOAT", "3.4028235e38::FLOAT", "0.1::DOUBLE",
    "1.7976931348623157e308::DOUBLE", "5e-324::DOUBLE", "123456789012345678901::DOUBLE",
    "CAST(-12345678901234567890.123456789012345678 AS DECIMAL(38,18))", "'it''s \\ \"x\" 😀 %s \n'",
    "''", "chr(0) || 'a'",
    "'\\x00\\xFF'''::BLOB", "DATE '0001-01-01'", "DATE '9999-12-31'", "TIMESTAMP '2024-02-29 12:34:56.789012'",
    "TIMESTAMPTZ '2024-02-29 12:34:56.789012+05'", "TIME '23:59:59.999999'",
    "UUID '123e4567-e89b-12d3-a456-426614174000'",
]  # fmt: skip
# What arrives as something else again: its type there, and the text.
CHANGED = [
    ("INTERVAL '1 month -2 days'", "VARCHAR", "1 month -2 days"),
    ("TIMETZ '10:00:00+05:30'", "VARCHAR", "10:00:00+05:30"),
    ("{'a': 1, 'b': [NULL, 'x''\\']}", "VARCHAR", '{"a":1,"b":[null,"x\'\\\\"]}'),
    ("[1, NULL]", "VARCHAR", "[1,null]"),
    ("'{\"a\":  1}'::JSON", "VARCHAR", '{"a":  1}'),
]


def test_every_type_comes_back_as_it_was(target: Target) -> None:
    items = [*ARRIVING, *(each for each, _, _ in CHANGED)]
    names = [f"v{place}" for place in range(len(items))]
    query = ", ".join(f"{item} AS {name}" for item, name in zip(items, names, strict=True))
    target.load(f"SELECT 1 AS id, {query} UNION ALL SELECT 2, {', '.join(['NULL'] * len(items))}")
    shown = ", ".join(f"{name}::VARCHAR" for name in names)
    found = sorted(staged(target.connector, StreamConfig("t"), Window("full"), f"id, {shown}"))
    with connector_instance() as duck:
        expected = list(duck.execute(f"SELECT {shown} FROM (SELECT {query})").fetchall()[0])
    expected[0] = "1"
    expected[len(ARRIVING) :] = [text for *_, text in CHANGED]
    assert list(found[0][1:]) == expected
    assert set(found[1][1:]) == {None}


def test_the_same_into_columns_that_are_there(target: Target) -> None:
    target.base.do(
        "CREATE TABLE t (a bigint, b decimal(20,3), c datetime, d varchar(40), e varchar(40), f double, g datetime(3), "
        "h enum('x', 'it''s \\\\ b'), i uuid, j varchar(40))"
    )
    target.load(
        "SELECT 7::TINYINT AS a, 1.25::DECIMAL(5,2) AS b, DATE '2024-01-01' AS c, 0.1::DOUBLE AS d, "
        "TIMESTAMPTZ '2024-01-01 00:00:00+00' AS e, 0.1::FLOAT AS f, TIMESTAMP '2024-01-01 00:00:00.123' AS g, "
        "'it''s \\ b' AS h, UUID '123e4567-e89b-12d3-a456-426614174000' AS i, 12345678901234567890::UBIGINT AS j"
    )
    rows = target.base.ask("SELECT a, CAST(b AS char), CAST(c AS char), d, e, f, CAST(g AS char), h, i, j FROM t")
    assert rows == [
        (7, "1.250", "2024-01-01 00:00:00", "0.1", "2024-01-01 00:00:00+00", 0.10000000149011612,
         "2024-01-01 00:00:00.123", "it's \\ b", "123e4567-e89b-12d3-a456-426614174000", "12345678901234567890"),
    ]  # fmt: skip


def test_many_rows_and_long_ones(target: Target) -> None:
    """The server takes 4 MB at once here; rows go over in pieces of that, and one that is larger is refused."""
    told: list[int] = []
    done = target.load("SELECT i AS id, repeat('x', 1000) AS v FROM range(10000) r(i)", Watch(wrote=told.append))
    assert done.inserted == 10_000
    assert told == sorted(told) and told[-1] == 10_000
    assert target.base.ask("SELECT count(DISTINCT id), sum(length(v)) FROM t") == [(10_000, 10_000_000)]
    target.load("SELECT 1 AS id, repeat('x', 4000000) AS v")
    assert refusal(lambda: target.load("SELECT 1 AS id, repeat('x', 4194304) AS v")).code == "row_too_large"


def test_a_load_waits_for_another(target: Target) -> None:
    target.load(values((1, "a")))
    told: list[str] = []
    inside, waiting = threading.Event(), threading.Event()

    def hold(place: str) -> None:
        if place == "begun":
            inside.set()
            assert waiting.wait(60)

    def tell(sentence: str) -> None:
        told.append(sentence)
        waiting.set()

    first = threading.Thread(target=lambda: target.load(values((2, "b")), Watch(passed=hold)))
    first.start()
    assert inside.wait(60)
    target.load(values((3, "c")), Watch(waits=tell))
    first.join()
    assert told == [f"Waits until another load into {target.base.name}.t is over."]
    assert target.base.ask("SELECT count(*) FROM t") == [(3,)]


@pytest.mark.parametrize("place", ["begun", "copied", "settled"])
def test_a_cancelled_load_leaves_nothing(target: Target, place: str) -> None:
    target.load(values((1, "a")))
    stops: list[Callable[[], object]] = []

    def stop(here: str) -> None:
        if here == place:
            stops[0]()

    with pytest.raises(CancelledError):
        target.load(values((2, "b")), Watch(passed=stop, on_cancel=stops.append), mode="replace")
    assert target.base.ask("SELECT id FROM t") == [(1,)]
    assert target.base.ask("SELECT count(*) FROM _manifold_loads") == [(1,)]
