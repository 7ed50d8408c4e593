"""What became of columns, and what a run may make of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane import drift
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.drift import Policy, Watch
from dataplane.errors import ManifoldError

ID = Column("id", "BIGINT", native="int8")
NAME = Column("customer_name", "VARCHAR", native="text ")
FARE = Column("fare", "DOUBLE", native="float8")
SEEN = (ID, NAME, FARE)
STREAM = StreamConfig("public.flights", columns=SEEN, cursor="id")

columns = st.lists(
    st.builds(
        lambda name, type_: Column(name, type_, native=type_.lower()),
        st.sampled_from("abcdefg"),
        st.sampled_from(["BIGINT", "VARCHAR", "DATE"]),
    ),
    min_size=1,
    unique_by=lambda each: each.name,
).map(tuple)


def kinds(now: tuple[Column, ...]) -> dict[str, str]:
    return {each.column: each.kind for each in drift.compared(SEEN, now)}


def judged(now: tuple[Column, ...], policy: Policy, **extra: Any) -> drift.Drift | None:
    return drift.judged(STREAM, Watch(SEEN, policy, {"id": "the cursor"}, **extra), now)


def test_it_works():
    tax = Column("tax", "DATE", native="date")
    assert kinds(SEEN) == {}
    assert kinds((*SEEN, tax)) == {"tax": "added"}
    assert kinds((ID, NAME)) == {"fare": "removed"}
    (retyped,) = drift.compared(SEEN, (ID, NAME, Column("fare", "VARCHAR", native="text")))
    assert (retyped.kind, retyped.said) == ("retyped", "fare is text, it was float8")


def test_a_column_that_is_called_otherwise_is_guessed_with_a_score():
    cust = Column("cust_name", "VARCHAR", native="text ")
    (change,) = drift.compared(SEEN, (ID, cust, FARE))
    assert (change.kind, change.column) == ("renamed", "customer_name")
    assert change.candidates[0].column == "cust_name"
    assert 0.8 < change.candidates[0].score <= 1
    assert change.said.startswith("customer_name has gone, perhaps it is called cust_name now (")


def test_the_likeliest_stands_first_and_no_new_column_is_the_first_guess_of_two():
    seen = (Column("first_name", "VARCHAR"), Column("last_name", "VARCHAR"))
    now = (Column("firstname", "VARCHAR"), Column("lastname", "VARCHAR"))
    found = {each.column: [c.column for c in each.candidates] for each in drift.compared(seen, now)}
    assert found["first_name"][0] == "firstname"
    assert found["last_name"][0] == "lastname"


def test_values_that_both_have_speak_for_a_column():
    seen = (ID, Column("land", "VARCHAR"), FARE)
    now = (ID, FARE, Column("x", "VARCHAR"), Column("region", "VARCHAR"))
    assert "renamed" not in {each.kind for each in drift.compared(seen, now)}
    places = frozenset({"no", "se", "dk"})
    values = ({"land": places}, {"x": frozenset("abc"), "region": places | {"fi"}})
    (change,) = [each for each in drift.compared(seen, now, values) if each.kind == "renamed"]
    assert (change.column, change.candidates[0].column) == ("land", "region")


def test_who_is_asked_sees_unlikely_names_too():
    seen = (ID, Column("customer", "VARCHAR"), FARE)
    changes = drift.compared(seen, (ID, FARE, Column("x", "VARCHAR"), Column("y", "DATE")))
    (gone,) = [each for each in changes if each.kind == "removed"]
    assert [each.column for each in gone.candidates] == ["x"]
    assert {each.column for each in changes if each.kind == "added"} == {"x", "y"}


def test_a_column_of_another_kind_elsewhere_is_another_column():
    assert kinds((ID, NAME, Column("landed_at", "TIMESTAMP", native="timestamp"))) == {
        "landed_at": "added",
        "fare": "removed",
    }


@pytest.mark.parametrize(
    ("policy", "change", "comes_to"),
    [
        ("evolve", "add", "goes on"),
        ("evolve", "drop", "goes on"),
        ("evolve_new", "add", "goes on"),
        ("evolve_new", "drop", "stops"),
        ("evolve_new", "retype", "stops"),
        ("ask", "add", "asks"),
        ("ask", "drop", "asks"),
        ("stop", "add", "stops"),
    ],
)
def test_each_policy(policy: Policy, change: str, comes_to: str):
    now = {
        "add": (*SEEN, Column("tax", "DATE", native="date")),
        "drop": (ID, NAME),
        "retype": (ID, NAME, Column("fare", "VARCHAR", native="text")),
    }[change]
    found = judged(now, policy)
    assert found is not None
    assert ("stops" if found.stops else "asks" if found.asks else "goes on") == comes_to
    if found.stops:
        assert found.stops.code == "schema_drift"
        assert "public.flights" in found.stops.message and found.said in found.stops.message


def test_what_was_answered_once_for_all_is_not_asked_again():
    now = (*SEEN, Column("tax", "DATE", native="date"))
    found = judged(now, "ask", answered=frozenset({"added"}))
    assert found is not None and not found.asks
    found = judged((ID, NAME, now[-1]), "ask", answered=frozenset({"added"}))
    assert found is not None and found.asks


@pytest.mark.parametrize("policy", drift.POLICIES)
def test_the_first_columns_that_anybody_finds_are_no_change(policy: Policy):
    beside = (Column("_offset", "BIGINT"), Column("_key", "BLOB"))
    watch = Watch(beside, policy, beside=beside)
    assert drift.judged(STREAM, watch, beside) is None
    found = drift.judged(STREAM, watch, (*beside, ID))
    assert found is not None and (found.first, found.stops, found.asks) == (True, None, False)
    later = drift.judged(STREAM, Watch((*beside, ID), policy, beside=beside), (*beside, ID, FARE))
    assert later is not None and not later.first


@pytest.mark.parametrize("policy", drift.POLICIES)
def test_a_lost_cursor_always_stops(policy: Policy):
    found = judged((NAME, FARE, Column("ident", "BIGINT", native="int8")), policy)
    assert found is not None and isinstance(found.stops, ManifoldError)
    assert found.stops.code == "cursor_lost"
    for word in ("The column id of public.flights", "the cursor", "choose another cursor"):
        assert word in found.stops.message


def test_a_type_that_somebody_declared_stays_while_the_columns_own_does():
    declared = StreamConfig("f", columns=(ID, NAME, Column("fare", "DECIMAL(9,2)", native="float8")))
    kept = drift.followed(declared, SEEN, (*SEEN, Column("tax", "DATE", native="date")), fills_missing=False)
    assert [each.type for each in kept.columns] == ["BIGINT", "VARCHAR", "DECIMAL(9,2)", "DATE"]
    now = (ID, NAME, Column("fare", "BIGINT", native="int8"))
    assert drift.followed(declared, SEEN, now, fills_missing=False).columns == now


def test_columns_that_somebody_left_out_stay_out():
    declared = StreamConfig("f", columns=(ID,))
    kept = drift.followed(declared, SEEN, (*SEEN, Column("tax", "DATE", native="date")), fills_missing=False)
    assert [each.name for each in kept.columns] == ["id", "tax"]


def test_a_renamed_column_goes_on_arriving_under_its_name():
    now = (ID, Column("cust", "VARCHAR", native="text "), FARE)
    chosen = StreamConfig("f", columns=SEEN, select=("id", "customer_name"))
    one = drift.followed(chosen, SEEN, now, fills_missing=False, renames={"customer_name": "cust"})
    assert ([each.name for each in one.columns], one.select) == (["id", "cust", "fare"], ("id", "cust"))
    assert one.names == {"cust": "customer_name"}
    again = (ID, Column("client", "VARCHAR", native="text "), FARE)
    two = drift.followed(one, now, again, fills_missing=False, renames={"cust": "client"})
    assert two.names == {"client": "customer_name"}


def test_a_column_that_gets_its_old_name_back_needs_no_other():
    one = drift.followed(
        STREAM, SEEN, (ID, Column("cust", "VARCHAR"), FARE), fills_missing=False, renames={"customer_name": "cust"}
    )
    back = drift.followed(one, one.columns, SEEN, fills_missing=False, renames={"cust": "customer_name"})
    assert back.names == {}
    taken = drift.followed(one, one.columns, (*one.columns, NAME), fills_missing=False)
    assert taken.names == {"cust": "customer_name", "customer_name": "customer_name_2"}


def test_files_keep_a_column_that_some_of_them_lack():
    kept = drift.followed(STREAM, SEEN, (ID, FARE), fills_missing=True)
    assert kept.columns == SEEN


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(columns, columns)
def test_following_makes_the_next_look_find_nothing(seen: tuple[Column, ...], now: tuple[Column, ...]):
    kept = drift.followed(StreamConfig("f", columns=seen), seen, now, fills_missing=False)
    assert sorted(kept.columns, key=str) == sorted(now, key=str)
    assert drift.compared(now, now) == ()


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(columns, columns)
def test_every_difference_is_told_once(seen: tuple[Column, ...], now: tuple[Column, ...]):
    changes = drift.compared(seen, now)
    before, after = {each.name for each in seen}, {each.name for each in now}
    guessed = {each.candidates[0].column for each in changes if each.kind == "renamed"}
    gone = [each.column for each in changes if each.kind in ("removed", "renamed")]
    assert sorted(gone) == sorted(before - after)
    assert {each.column for each in changes if each.kind == "added"} | guessed == after - before
    assert guessed.isdisjoint(each.column for each in changes if each.kind == "added")
    assert all(0 < c.score <= 1 for each in changes for c in each.candidates)
