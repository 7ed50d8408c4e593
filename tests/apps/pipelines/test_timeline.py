"""The time axis of a run: where each step's bars lie, who it waited for, and when the run will be over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Project
from apps.pipelines.models import Run, StepRun
from apps.pipelines.pages.timeline import ends_at, timeline, usual
from tests.scale import furnish_scale

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def step(key: str, upstream: list[str], times: tuple[float | None, float | None, float | None], **more: Any) -> StepRun:
    queued, started, finished = (None if each is None else at(each) for each in times)
    state = "succeeded" if finished else "running" if started else "ready" if queued else "pending"
    fields = {"state": state, "queued_at": queued, "started_at": started, "finished_at": finished, "kind": "sql"}
    return StepRun(key=key, upstream=upstream, **fields | more)


DONE = [
    step("plan", [], (0, 0, 1)),
    step("a", ["plan"], (1, 2, 4), kind="extract", rows_in=200, rows_out=150),
    step("b", ["plan"], (1, 4, 8)),
    step("kept", ["a", "b"], (8, 8, 10)),
]


def test_bars_lie_where_steps_waited_and_worked() -> None:
    rows = {each.step.key: each for each in timeline(DONE, at(99)).rows}
    assert (rows["a"].wait, rows["a"].work) == ((10, 10), (20, 20))
    assert (rows["b"].wait, rows["b"].work) == ((10, 30), (40, 40))
    assert rows["b"].waited == 3
    assert rows["a"].rate == 100


def test_it_names_whom_a_step_waited_for_and_what_decided_the_length() -> None:
    rows = {each.step.key: each for each in timeline(DONE, at(99)).rows}
    assert rows["kept"].after == "b"
    assert rows["a"].after == ""  # Everything waits for the plan.
    assert [key for key, row in rows.items() if row.decisive] == ["plan", "b", "kept"]
    assert "after b" in rows["kept"].spoken


def test_the_axis_has_few_round_marks() -> None:
    assert timeline(DONE, at(99)).marks == [(0, "0"), (50, "5 s"), (100, "10 s")]


@given(st.lists(st.tuples(*[st.floats(0, 1e7)] * 3), min_size=1, max_size=6), st.floats(0, 1e7))
def test_no_bar_leaves_the_axis(times: list[tuple[float, float, float]], now: float) -> None:
    steps = [step(str(number), [], times) for number, times in enumerate(times)]
    found = timeline(steps, at(now))
    assert 1 <= len(found.marks) <= 5
    for row in found.rows:
        for place, length in (row.wait, row.work):
            assert 0 <= place <= 100
            assert length >= -0.01
            assert place + length <= 100.02


def test_the_end_follows_the_longest_way_through_what_is_open() -> None:
    steps = [
        step("plan", [], (0, 0, 1)),
        step("a", ["plan"], (1, 1, None)),
        step("b", ["plan"], (1, 1, None)),
        step("kept", ["a", "b"], (None, None, None)),
    ]
    expected = {"plan": 1.0, "a": 10.0, "b": 3.0, "kept": 5.0}
    assert ends_at(steps, expected, at(2)) == at(16)
    assert ends_at(steps, expected, at(20)) == at(25), "a is late, so what follows begins now"
    assert ends_at(steps, {"a": 10.0, "b": 3.0}, at(2)) is None, "kept has never run"


@pytest.mark.django_db
def test_what_is_usual_is_the_median_of_the_last_good_runs(project: Project) -> None:
    furnish_scale(project, pipelines=2, runs=40)
    run = Run.objects.order_by("-id")[0]
    took = usual(run)
    good = Run.objects.filter(pipeline=run.pipeline, state="succeeded").order_by("-id")[:10]
    spans = sorted((each.finished_at - each.started_at).total_seconds() for each in good if each.finished_at)  # type: ignore[operator]
    assert took["named"] == pytest.approx((spans[4] + spans[5]) / 2 * 0.08, rel=1e-3)
