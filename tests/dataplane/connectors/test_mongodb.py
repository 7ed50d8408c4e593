"""Collections of MongoDB: what arrives, what is set aside, and how what is new is known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary, UuidRepresentation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dataplane.connectors.base import Connector, Stage
from dataplane.connectors.clues import Clue
from dataplane.connectors.databases import server
from dataplane.connectors.mongodb import MongoDB
from dataplane.connectors.mongodb.filters import filter_of
from dataplane.connectors.mongodb.session import below
from dataplane.connectors.registry import build
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError
from tests.certificates import self_signed
from tests.dataplane.steps.files_source import extracted, rejects
from tests.dataplane.steps.files_source import rows as in_order
from tests.mongo_server import Refused, Store, ids, serving

STAGES = ["resolve", "connect", "authenticate", "list", "read a row"]
NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def mongo(store: Store) -> Iterator[Connector]:
    with serving(store) as port:
        yield at(port)


def at(port: int, **changes: Any) -> Connector:
    params = {"host": "127.0.0.1", "port": port, "database": "shop", "tls": "disable"}
    return build("mongodb", {**params, **changes})


def stream(mongo: Connector, name: str, **changes: Any) -> StreamConfig:
    (info,) = mongo.discover_named([name])
    return replace(StreamConfig(info.name, info.settings, info.columns), **changes)


def rows(root: Path, mongo: Connector, of: StreamConfig, window: Window | None = None) -> list[tuple[Any, ...]]:
    return in_order(root, extracted(root, mongo, of, window or Window("full")))


def last(mongo: Connector) -> Stage:
    return list(mongo.test())[-1]


# What MongoDB calls a type, a value of it, what arrives, and as which value. The first is the document's own key.
TYPES: list[tuple[str, Any, str, Any]] = [
    ("objectId", ObjectId("0" * 23 + "1"), "VARCHAR", "0" * 23 + "1"),
    ("string", "naïve 漢字", "VARCHAR", "naïve 漢字"),
    ("int", -(2**31), "BIGINT", -(2**31)),
    ("long", Int64(2**63 - 1), "BIGINT", 2**63 - 1),
    ("double", 0.1, "DOUBLE", 0.1),
    ("double", float("inf"), "DOUBLE", float("inf")),
    ("bool", True, "BOOLEAN", True),
    ("date", DatetimeMS(1356998400123), "TIMESTAMP WITH TIME ZONE", datetime(2013, 1, 1, 0, 0, 0, 123000, UTC)),
    ("date", DatetimeMS(-1), "TIMESTAMP WITH TIME ZONE", datetime(1969, 12, 31, 23, 59, 59, 999000, UTC)),
    ("decimal", Decimal128("12.50"), "DECIMAL(38,2)", Decimal("12.50")),
    ("decimal", Decimal128("1.5E-30"), "DECIMAL(38,31)", Decimal("1.5E-30")),
    ("decimal", Decimal128("1E+50"), "VARCHAR", "1E+50"),
    ("decimal", Decimal128("NaN"), "VARCHAR", "NaN"),
    ("binData, a UUID", Binary.from_uuid(UUID(int=7), UuidRepresentation.STANDARD), "UUID", UUID(int=7)),
    ("binData", b"\x00\xff", "BLOB", b"\x00\xff"),
    ("object", {"a": [1, {"b": DatetimeMS(0)}], "d": Decimal128("1.10"), "n": float("nan")}, "JSON",
     '{"a":[1,{"b":"1970-01-01T00:00:00.000Z"}],"d":"1.10","n":"nan"}'),
    ("array", ["a", None, ObjectId("0" * 24)], "JSON", '["a",null,"000000000000000000000000"]'),
    ("regex", Regex("a.*", "i"), "JSON", '{"$regularExpression":{"pattern":"a.*","options":"i"}}'),
    ("timestamp", Timestamp(1, 2), "JSON", '{"$timestamp":{"t":1,"i":2}}'),
    ("javascript", Code("return 1"), "JSON", '{"$code":"return 1"}'),
    ("javascriptWithScope", Code("f(n)", {"n": 1}), "JSON", '{"$code":"f(n)","$scope":{"n":1}}'),
    ("minKey", MinKey(), "JSON", '{"$minKey":1}'),
    ("maxKey", MaxKey(), "JSON", '{"$maxKey":1}'),
    ("binData of another kind", Binary(b"x", 3), "JSON", '{"$binary":{"base64":"eA==","subType":"03"}}'),
    ("null", None, "JSON", None),
]  # fmt: skip
WARNED = {"decimal", "regex", "timestamp", "javascript", "javascriptWithScope", "minKey", "maxKey",
          "binData of another kind"}  # fmt: skip


def test_each_type_arrives(store: Store, mongo: Connector, tmp_path: Path) -> None:
    names = ["_id", *(f"f{at}" for at in range(1, len(TYPES)))]
    store.add("things", dict(zip(names, (value for _, value, *_ in TYPES), strict=True)))
    store.add("things", {"_id": ObjectId("0" * 23 + "2")})
    things = stream(mongo, "things")
    told = [(each.name, each.type, bool(each.warning)) for each in things.columns]
    assert told == [(name, type_, kind in WARNED) for name, (kind, _, type_, _) in zip(names, TYPES, strict=True)]
    found = rows(tmp_path, mongo, things)
    assert found[0] == tuple(arrived for *_, arrived in TYPES)
    assert found[1] == ("0" * 23 + "2", *[None] * (len(TYPES) - 1))
    assert mongo.preview(things, 1).num_rows == 1


def test_a_test_has_stages(store: Store, mongo: Connector) -> None:
    store.add("things", {"_id": 1})
    assert [(each.name, each.ok) for each in mongo.test()] == [(name, True) for name in STAGES]
    with serving(Store()) as port:
        error = last(at(port)).error
    assert error is not None and error.code == "nothing_to_read"
    error = last(at(port)).error
    assert error is not None and (error.code, error.retryable) == ("connection_refused", True)
    error = last(build("mongodb", {"host": "169.254.169.254", "database": "shop"})).error
    assert error is not None and error.code == "address_refused"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"user": "reader", "password": "right"}, None),
        ({"user": "reader", "password": "wr0ng"}, "authentication"),
        ({}, "missing_grant"),
    ],
)
def test_who_may_sign_in(store: Store, said: dict[str, str], code: str | None) -> None:
    store.users["reader"] = "right"
    store.add("things", {"_id": 1})
    with serving(store) as port:
        error = last(at(port, **said)).error
    assert (error and error.code) == code
    assert "wr0ng" not in str(error and error.as_json())


def test_encryption(store: Store, tmp_path: Path) -> None:
    self_signed(tmp_path / "server.pem", "localhost")
    store.add("things", {"_id": 1})
    with serving(store, tmp_path / "server.pem") as port:
        assert last(at(port, tls="require")).ok


@pytest.mark.all
def test_a_certificate_that_nobody_has_signed_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    self_signed(tmp_path / "server.pem", "localhost")
    store.add("things", {"_id": 1})
    with serving(store, tmp_path / "server.pem") as port:
        error = last(at(port, tls="verify-full", host="localhost")).error
        assert error is not None and error.code == "encryption"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        assert last(at(port, tls="verify-full", host="localhost")).ok


def test_no_other_member_of_a_set_is_asked(store: Store) -> None:
    store.add("things", {"_id": 1})
    store.hello = {
        "setName": "rs0", "hosts": ["169.254.169.254:27017", "metadata.example:1"], "primary": "169.254.169.254:27017",
        "isWritablePrimary": False, "ismaster": False, "secondary": True, "me": "169.254.169.254:27017",
    }  # fmt: skip
    with serving(store) as port:
        assert last(at(port)).ok
        first = Store()
        first.add("newer", {"_id": 1})
        with serving(first) as other:
            found = at(port, host=f"127.0.0.1:{port},127.0.0.1:{other}").discover()
            assert [each.name for each in found] == ["newer"]
        store.hello["secondary"] = False
        error = last(at(port)).error
    assert error is not None and (error.code, error.retryable) == ("server_starting", True)


def test_records_that_lead_to_another_domain_are_refused() -> None:
    assert below("c0.abc.example.org", [("s1.abc.example.org", 1)]) == [("s1.abc.example.org", 1)]
    for host, names in [
        ("c0.abc.example.org", ["s1.evil.org"]), ("c0.abc.example.org", ["sabc.example.org"]),
        ("c0.org", ["s1.org"]), ("c0.abc.example.org", []),
    ]:  # fmt: skip
        with pytest.raises(ConfigurationError) as caught:
            below(host, [(each, 27017) for each in names])
        assert caught.value.code == "address_refused"


def test_what_does_not_fit_is_set_aside_with_its_document(store: Store, mongo: Connector, tmp_path: Path) -> None:
    store.add("things", *({"_id": each, "n": each, "t": NOON} for each in range(3)))
    things = stream(mongo, "things")
    odd: list[Any] = ["five", 2.5, True, {"a": 1}, Decimal128("7"), 8.0, "9", 2**40]
    store.add("things", *({"_id": 10 + at, "n": each, "t": NOON} for at, each in enumerate(odd)))
    store.add("things", {"_id": 30, "n": 1, "t": DatetimeMS(2**62)}, {"_id": 31, "t": "2013-01-02"})
    result = extracted(tmp_path, mongo, things, Window("full"))
    kept = in_order(tmp_path, result)
    assert [(row[0], row[1]) for row in kept] == [
        (0, 0), (1, 1), (2, 2), (14, 7), (15, 8), (16, 9), (17, 2**40), (31, None)
    ]  # fmt: skip
    assert kept[-1][2] == datetime(2013, 1, 2, tzinfo=UTC)
    found = rejects(tmp_path, result)
    assert [row for _, row, *_ in found] == [4, 5, 6, 7, 12]
    shown = mongo.previewed(things)
    assert (shown.table.num_rows, [each.row for each in shown.samples]) == (8, [4, 5, 6, 7, 12])
    assert found[0] == (
        "things",
        4,
        "n is not BIGINT: 'five'",
        '{"_id": 10, "n": "five", "t": {"$date": "2013-01-01T12:00:00Z"}}',
    )
    assert found[4][2].startswith("t is not TIMESTAMP WITH TIME ZONE")
    assert result.rows_in == 13


def test_mixed_types_arrive_as_json_and_are_said(store: Store, mongo: Connector, tmp_path: Path) -> None:
    store.add("things", {"_id": 1, "v": "5"}, {"_id": 2, "v": 5}, {"_id": 3, "v": [5]}, {"_id": 4, "v": NOON})
    things = stream(mongo, "things")
    (column,) = [each for each in things.columns if each.name == "v"]
    assert column.type == "JSON" and "array, date, int, string" in column.warning
    assert [row[1] for row in rows(tmp_path, mongo, things)] == ['"5"', "5", "[5]", '"2013-01-01T12:00:00.000Z"']


@pytest.mark.parametrize(
    ("type_", "kept"),
    [
        ("VARCHAR", ["1", "2.5", "x"]), ("DOUBLE", [1.0, 2.5]), ("DECIMAL(5,1)", [Decimal("1.0"), Decimal("2.5")]),
        ("SMALLINT", [1]), ("FLOAT", [1.0, 2.5]), ("HUGEINT", [1]), ("JSON", ["1", "2.5", '"x"']), ("BOOLEAN", []),
    ],
)  # fmt: skip
def test_declared_types_are_kept_or_the_document_is_set_aside(
    store: Store, mongo: Connector, tmp_path: Path, type_: str, kept: list[Any]
) -> None:
    store.add("things", {"_id": 1, "v": 1}, {"_id": 2, "v": 2.5}, {"_id": 3, "v": "x"})
    of = StreamConfig("things", columns=(Column("v", type_),))
    result = extracted(tmp_path, mongo, of, Window("full"))
    assert [row[0] for row in in_order(tmp_path, result)] == kept
    assert len(rejects(tmp_path, result)) == 3 - len(kept)


def test_texts_of_times_are_kept_exactly_or_set_aside(store: Store, mongo: Connector, tmp_path: Path) -> None:
    finer = ["10:00:00.1234567", "10:00:00,0000001"]
    texts = ["10:00:00", "10:00:00.123456000Z", "10:00:00+00:00", "15:00:00+05:00", *finer]
    store.add("things", *({"_id": at, "t": f"2024-01-01T{each}"} for at, each in enumerate(texts)))
    ten = datetime(2024, 1, 1, 10, tzinfo=UTC)
    for type_, places in ("TIMESTAMP", [0, 1, 2]), ("TIMESTAMP WITH TIME ZONE", [0, 1, 2, 3]):
        of = StreamConfig("things", columns=(Column("_id", "BIGINT"), Column("t", type_)))
        found = rows(tmp_path / type_, mongo, of)
        assert [row[0] for row in found] == places
        micros = [0, 123456, 0, 0]
        wanted = [ten.replace(microsecond=micros[each]) for each in places]
        assert [row[1] for row in found] == [each if "ZONE" in type_ else each.replace(tzinfo=None) for each in wanted]


def test_chosen_fields_and_filters(store: Store, mongo: Connector, tmp_path: Path) -> None:
    store.add(
        "things", *({"_id": each, "n": each, "a.b": "x", "state": "open" if each % 2 else "done"} for each in range(6))
    )
    of = stream(mongo, "things", row_filter='{"state": "open", "n": {"$gt": 1}}')
    assert [row[0] for row in rows(tmp_path, mongo, of)] == [3, 5]
    chosen = replace(of, select=("state",))
    assert rows(tmp_path, mongo, chosen) == [("open",), ("open",)]
    both = extracted(tmp_path, mongo, of, Window("full"), filter='{"n": {"$lt": 5}}')
    assert [row[0] for row in in_order(tmp_path, both)] == [3]
    odd = replace(of, select=("a.b",))
    assert rows(tmp_path, mongo, odd) == [("x",), ("x",)]


@pytest.mark.parametrize(
    "text",
    [
        '{"$where": "sleep(1)"}', '{"a": {"$elemMatch": {"$where": "1"}}}', '{"$expr": {"$function": {"body": "x"}}}',
        '{"$or": [{"$jsonSchema": {}}]}', "state = 'open'", "[1]", "5", "{", '{"a": ' * 500 + "1" + "}" * 500,
    ],
    ids=range(9),
)  # fmt: skip
def test_filters_that_run_code_or_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        filter_of(StreamConfig("things", row_filter=text))
    assert caught.value.code == "filter_refused"


@pytest.mark.parametrize(
    "value",
    [
        '{"$oid": "zz"}', '{"$numberDecimal": "x"}', '{"$date": 99999999999999999999}', "99999999999999999999",
        '{"$numberLong": Infinity}', '{"$binary": {}}', '{"$binary": 5.0, "$type": "00"}', '"\\ud800"',
        '{"\\u0000": 1}', '{"$regex": "\\u0000"}', '{"$date": "yesterday"}',
    ],
    ids=range(11),
)  # fmt: skip
def test_values_that_mongodb_does_not_hold_are_refused_in_filters(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        filter_of(StreamConfig("things", row_filter=f'{{"a": {value}}}'))
    assert caught.value.code == "filter_refused" and "$oid" in caught.value.message


def test_values_in_filters_are_mongodbs_own() -> None:
    text = (
        '{"a": {"$in": [{"$oid": "000000000000000000000001"}, {"$date": "2013-01-01T12:00:00Z"}, {"$numberLong": "5"},'
        ' {"$uuid": "00000000-0000-0000-0000-000000000007"}, {"$numberDecimal": "1.50"}]}}'
    )
    key = Binary.from_uuid(UUID(int=7), UuidRepresentation.STANDARD)
    wanted = [ids(1)[0], NOON, Int64(5), key, Decimal128("1.50")]
    assert filter_of(StreamConfig("things", row_filter=text)) == {"a": {"$in": wanted}}


CURSORS: list[tuple[str, list[Any], str]] = [
    ("_id", ids(6), "0" * 23 + "6"),
    ("at", [DatetimeMS(1_356_998_400_000 + each) for each in (0, 1, 1, 2, 2, 9)], "2013-01-01 00:00:00.009+00"),
    ("n", [Int64(each) for each in (-5, 9, 10, 10, 200, 2**62)], str(2**62)),
]


@pytest.mark.parametrize(("name", "values", "upper"), CURSORS, ids=[each for each, *_ in CURSORS])
def test_only_what_is_new_is_read(
    store: Store, mongo: Connector, tmp_path: Path, *, name: str, values: list[Any], upper: str
) -> None:
    def add(places: range) -> None:
        store.add("things", *({"_id": ids(6)[at], "place": at, name: values[at]} for at in places))

    add(range(3))
    of = stream(mongo, "things", cursor=name)
    first = extracted(tmp_path, mongo, of, (planned := mongo.plan(of, "incremental", Mark())).window)
    assert sorted(row[1] for row in in_order(tmp_path, first)) == [0, 1, 2] and planned.window is not None
    facts = first.facts
    mark = Mark(upper=planned.window.upper, boundary_rows=facts["boundary_rows"], seen_from=facts["seen_from"])
    assert mongo.plan(of, "incremental", mark).window is None
    add(range(3, 6))
    window = mongo.plan(of, "incremental", mark).window
    assert window is not None and (window.lower, window.upper) == (mark.upper, upper)
    again = read_again(tmp_path, mongo, of, window, facts)
    assert sorted(row[1] for row in again) == [3, 4, 5]
    assert read_again(tmp_path, mongo, of, Window.from_json(window.as_json()), facts) == again


def read_again(root: Path, mongo: Connector, of: StreamConfig, window: Window, facts: dict[str, Any]) -> list[Any]:
    from dataplane.steps.extract import ExtractSpec, ExtractStep
    from tests.dataplane.steps.files_source import context

    extras = {"connector": mongo, "stream": of, "window": window, "seen": facts["seen"], "hashed": facts["hashed"]}
    step = ExtractSpec(source="drop", stream=of.name, mode="incremental")
    return in_order(root, ExtractStep.run(context(root, **extras), step))


def test_a_document_that_comes_late_with_the_same_date_is_read_once(
    store: Store, mongo: Connector, tmp_path: Path
) -> None:
    store.add("things", {"_id": 1, "at": NOON}, {"_id": 2, "at": NOON})
    of = stream(mongo, "things", cursor="at")
    window = mongo.plan(of, "incremental", Mark()).window
    assert window is not None
    facts = extracted(tmp_path, mongo, of, window).facts
    store.add("things", {"_id": 3, "at": NOON})
    mark = Mark(upper=window.upper, boundary_rows=facts["boundary_rows"], seen_from=facts["seen_from"])
    late = mongo.plan(of, "incremental", mark)
    assert late.window is not None and "late" in late.reason
    assert mongo.count(of, Window("cursor", column="at", upper=window.upper, reread_from=late.window.reread_from)) == 3
    assert mongo.count(of, Window("slice", column="at", upper=late.window.reread_from)) == 0
    assert [row[0] for row in read_again(tmp_path, mongo, of, late.window, facts)] == [3]


def test_a_lookback_begins_earlier_and_what_has_no_date_is_said(store: Store, mongo: Connector) -> None:
    store.add(
        "things", {"_id": 1, "at": NOON}, {"_id": 2, "at": "later"}, {"_id": 3}, {"_id": 4, "at": DatetimeMS(2**60)}
    )
    of = replace(stream(mongo, "things"), cursor="at", lookback=60.5)
    of = replace(of, columns=(Column("_id", "BIGINT"), Column("at", "TIMESTAMP WITH TIME ZONE", native="date")))
    planned = mongo.plan(of, "incremental", Mark(upper="2013-01-01 11:00:00.25+00"))
    assert planned.window is not None and planned.window.reread_from == "2013-01-01 10:58:59.750+00"
    assert planned.warnings == ("3 rows of things have no at and are not read incrementally.",)
    assert mongo.count(of, planned.window) == 1
    kept = mongo.plan(of, "incremental", Mark(upper="2013-01-01 11:00:00+00", seen_from="2013-01-01 10:59:30+00"))
    assert kept.window is not None and kept.window.reread_from == "2013-01-01 10:59:30+00"


@pytest.mark.parametrize(
    ("one", "more", "type_", "native"),
    [
        (DatetimeMS(5), DatetimeMS(9), "TIMESTAMP WITH TIME ZONE", "date"), (5, Int64(9), "BIGINT", "int"),
        (ids(5)[4], ids(9)[8], "VARCHAR", "objectId"),
    ],
    ids=["date", "int", "objectId"],
)  # fmt: skip
def test_lists_of_values_that_order_have_no_order(
    store: Store, mongo: Connector, tmp_path: Path, *, one: Any, more: Any, type_: str, native: str
) -> None:
    of = StreamConfig("things", columns=(Column("_id", "BIGINT"), Column("v", type_, native=native)), cursor="v")
    store.add("things", {"_id": 1, "v": one}, {"_id": 2, "v": [more]}, {"_id": 3, "v": [one]}, {"_id": 4, "v": []})
    planned = mongo.plan(of, "incremental", Mark())
    assert planned.warnings == ("3 rows of things have no v and are not read incrementally.",)
    assert [row[0] for row in rows(tmp_path, mongo, of, planned.window)] == [1]


def test_a_secondary_that_is_behind_is_not_read(store: Store, mongo: Connector, tmp_path: Path) -> None:
    store.add("things", {"_id": ids(3)[0], "n": 1}, {"_id": ids(3)[1], "n": 2})
    of = stream(mongo, "things", cursor="_id")
    window = mongo.plan(of, "incremental", Mark()).window
    store.hello = {"setName": "rs0", "isWritablePrimary": False, "ismaster": False, "secondary": True}
    assert len(rows(tmp_path, mongo, of, window)) == 2
    store.collections["things"].pop()
    with pytest.raises(TransientError) as caught:
        extracted(tmp_path, mongo, of, window)
    assert caught.value.code == "secondary_behind"
    store.add("things", {"_id": ids(3)[2], "n": 3})
    assert [row[1] for row in rows(tmp_path, mongo, of, window)] == [1]
    del store.hello["secondary"], store.hello["isWritablePrimary"], store.hello["ismaster"]
    store.collections["things"].pop()
    assert [row[1] for row in rows(tmp_path, mongo, of, window)] == [1]


def test_a_secondary_whose_newest_document_no_longer_fits_the_filter_is_read(
    store: Store, mongo: Connector, tmp_path: Path
) -> None:
    first, last_ = ids(2)
    store.add("things", {"_id": first, "state": "open"}, {"_id": last_, "state": "open"})
    of = stream(mongo, "things", cursor="_id", row_filter='{"state": "open"}')
    window = mongo.plan(of, "incremental", Mark()).window
    store.hello = {"setName": "rs0", "isWritablePrimary": False, "ismaster": False, "secondary": True}
    store.collections["things"].pop()
    store.add("things", {"_id": last_, "state": "done"})
    assert [row[0] for row in rows(tmp_path, mongo, of, window)] == [str(first)]


@pytest.mark.parametrize("column", [Column("v", "VARCHAR", native="string"), Column("v", "DATE", native="date")])
def test_fields_without_an_order_are_no_cursors(store: Store, mongo: Connector, column: Column) -> None:
    store.add("things", {"_id": 1, "v": "x"})
    with pytest.raises(ConfigurationError) as caught:
        mongo.plan(StreamConfig("things", columns=(column,), cursor="v"), "incremental", Mark())
    assert caught.value.code == "cursor_type"


def test_a_value_that_does_not_fit_ends_an_incremental_read(store: Store, mongo: Connector, tmp_path: Path) -> None:
    store.add("things", {"_id": ids(1)[0], "n": 5})
    of = stream(mongo, "things", cursor="_id")
    store.add("things", {"_id": ids(2)[1], "n": "five"})
    window = mongo.plan(of, "incremental", Mark()).window
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, mongo, of, window)
    assert caught.value.code == "value" and "n is not BIGINT: 'five'" in caught.value.message


def test_a_value_of_a_type_that_only_duckdb_knows_ends_it_too(store: Store, mongo: Connector, tmp_path: Path) -> None:
    _id, t = Column("_id", "VARCHAR", native="objectId"), Column("t", "TIME")
    of = StreamConfig("things", columns=(_id, t), cursor="_id")
    for key, value in zip(ids(3), ("10:00", None, "noon"), strict=True):
        store.add("things", {"_id": key, "t": value})
    fits = replace(of, row_filter='{"t": {"$ne": "noon"}}')
    found = rows(tmp_path, mongo, fits, mongo.plan(fits, "incremental", Mark()).window)
    assert [row[1] for row in found] == [time(10), None]
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, mongo, of, mongo.plan(of, "incremental", Mark()).window)
    assert caught.value.code == "value" and "Column t of things holds noon" in caught.value.message


@pytest.mark.parametrize("whole", [True, False])
def test_a_server_that_goes_away_in_the_middle(store: Store, mongo: Connector, tmp_path: Path, whole: bool) -> None:
    store.add("things", *({"_id": each} for each in ids(5_000)))
    of = stream(mongo, "things", cursor="_id")
    window = Window("full") if whole else mongo.plan(of, "incremental", Mark()).window
    store.break_after = 2
    with pytest.raises(ManifoldError) as caught:
        extracted(tmp_path, mongo, of, window)
    assert (caught.value.code, caught.value.retryable) == ("connection_lost", True)
    store.break_after = None
    found = rows(tmp_path, mongo, of, window)
    assert sorted(row[0] for row in found) == [str(each) for each in ids(5_000)]


@pytest.mark.parametrize(
    ("number", "code", "retryable"),
    [
        (13, "missing_grant", False),
        (50, "statement_timeout", True),
        (2, "filter_refused", False),
        (99999, "server_error", True),
    ],
)
def test_refusals_are_told_and_classed(
    store: Store, mongo: Connector, tmp_path: Path, *, number: int, code: str, retryable: bool
) -> None:
    store.add("things", {"_id": 1})
    store.refusing["find"] = Refused(number, "no")
    with pytest.raises(ManifoldError) as caught:
        extracted(tmp_path, mongo, StreamConfig("things", columns=(Column("_id", "BIGINT"),)), Window("full"))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)


def test_damaged_and_hostile_documents(store: Store, mongo: Connector, tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = {"a": deep}
    wrong = bson.encode({"_id": 2, "t": "ab"}).replace(b"ab\0", b"\xff\xfe\0")
    store.add("things", wrong, {"_id": 3, "d": deep}, {"_id": 4, "t": "x", "T": "y", "": 1, "d": {}})
    info = mongo.discover()[0]
    assert [each.name for each in info.columns] == ["_id", "t", "d"] and "Left out" in " ".join(info.warnings)
    result = extracted(tmp_path, mongo, StreamConfig("things", columns=info.columns), Window("full"))
    assert [row[0] for row in in_order(tmp_path, result)] == [4]
    assert [reason.split(" ")[0] for _, _, reason, _ in rejects(tmp_path, result)] == ["t", "d"]
    store.add("wide", {f"f{at}": 1 for at in range(2_001)})
    (wide,) = mongo.discover_named(["wide"])
    assert wide.columns == () and "2,000" in wide.warnings[0]


def test_what_there_is(store: Store, mongo: Connector) -> None:
    store.add("b", *({"_id": each, "at": NOON} for each in ids(3)))
    store.add("a", *())
    store.add("system.profile", {"_id": 1})
    store.views.add("v")
    store.add("v", {"n": 1})
    a, b, v = mongo.discover()
    assert (a.name, a.columns, "no document" in a.warnings[0]) == ("a", (), True)
    assert (b.name, b.rows, b.primary_key, b.cursor_candidates) == ("b", 3, ("_id",), ("at", "_id"))
    assert (v.name, v.title, v.rows, [each.name for each in v.columns]) == ("v", "view", None, ["n"])
    of = StreamConfig("b", columns=b.columns, cursor="at")
    (finding,) = mongo.preflight([of, replace(of, cursor="_id")])
    assert (finding.code, finding.remedy) == ("cursor_unindexed", "db.getCollection('b').createIndex({'at': 1})")
    store.indexes["b"] = ["at"]
    assert mongo.preflight([of]) == []
    against = mongo.preflight([replace(of, name="gone"), replace(of, cursor="none"), of])
    assert [(each.stream, each.code) for each in against] == [("gone", "table_missing"), ("b", "column_missing")]
    store.add("b", {"_id": ids(4)[3], "more": 1})
    now = mongo.columns_now(of, ())
    assert now is not None and [each.name for each in now] == ["_id", "at", "more"]
    with pytest.raises(ConfigurationError) as caught:
        mongo.plan(replace(of, name="gone"), "incremental", Mark())
    assert caught.value.code == "table_missing"


def test_a_preflight_ends_in_time(store: Store, mongo: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add("b", {"_id": 1, "at": NOON})
    of = StreamConfig("b", columns=mongo.discover()[0].columns, cursor="at")
    monkeypatch.setattr(server, "PREFLIGHT_SECONDS", 0.0)
    assert [each.code for each in mongo.preflight([of, of])] == ["not_looked_at", "not_looked_at"]
    assert not any("listIndexes" in each for each in store.asked)


def test_no_look_takes_more_than_one_answer_holds(store: Store, mongo: Connector, tmp_path: Path) -> None:
    store.most_bytes = 10_000
    store.add("things", *({"_id": each, "t": "x" * 3_000, f"f{each}": 1} for each in range(20)))
    of = stream(mongo, "things")
    assert [each.name for each in of.columns] == ["_id", "t", *(f"f{each}" for each in (0, 1, 2, 19, 18, 17))]
    assert mongo.preview(of).num_rows == 3
    assert not any("getMore" in each for each in store.asked)
    assert len(rows(tmp_path, mongo, of)) == 20


@pytest.mark.parametrize(
    "params",
    [
        {"database": "a/b"},
        {"database": "a.b"},
        {"database": ""},
        {"host": "", "database": "a"},
        {"database": "a", "tls": "x"},
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        build("mongodb", {"host": "localhost", **params})


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (
            "mongodb://u:p%40w@db1.example.org:27018,db2.example.org/shop?authSource=users&tls=true",
            {
                "host": "db1.example.org",
                "port": 27018,
                "user": "u",
                "password": "p@w",
                "database": "shop",
                "auth_database": "users",
            },
        ),
        (
            "mongodb://u:pw@db1.example.org/shop",
            {
                "host": "db1.example.org",
                "user": "u",
                "password": "pw",
                "database": "shop",
                "auth_database": "shop",
                "tls": "disable",
            },
        ),
        (
            "mongodb+srv://u:pw@c0.abc.mongodb.net/shop?retryWrites=true",
            {"host": "c0.abc.mongodb.net", "user": "u", "password": "pw", "database": "shop", "srv": True},
        ),
        ("db.example.org:27017", {"host": "db.example.org", "port": 27017}),
    ],
)
def test_addresses_are_recognised(text: str, params: dict[str, Any]) -> None:
    guess = MongoDB.recognise(Clue(text=text))
    assert guess is not None and guess.params == params
    assert "pw" not in " ".join(guess.reasons)


def test_without_its_driver_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["bson"] = sys.modules["pymongo"] = None
from dataplane.connectors.registry import build, connectors
assert "mongodb" in connectors()
(stage,) = build("mongodb", {"host": "localhost", "database": "shop"}).test()
print(stage.error.code, stage.error.message)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("driver_missing") and 'pip install "manifold[mongodb]"' in said


LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(LETTERS, max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(LETTERS, max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(JSON, min_size=1, max_size=20))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_value_arrives_as_json(store: Store, mongo: Connector, tmp_path: Path, values: list[Any]) -> None:
    store.collections.clear()
    store.add("things", *({"_id": at, "v": each} for at, each in enumerate(values)))
    of = StreamConfig("things", columns=(Column("v", "JSON"),))
    found = [row[0] if row[0] is None else json.loads(row[0]) for row in rows(tmp_path, mongo, of)]
    assert found == values
