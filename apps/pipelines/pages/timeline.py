"""When each step of a run waited and worked, who it waited for, and when the run ends if it goes as it usually does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import F

from apps.pipelines.graph import PLAN
from apps.pipelines.lag import per_second
from apps.pipelines.models import Run, StepRun
from apps.pipelines.states import STEP_OPEN

EARLIER = 10
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_ROUND = [
    *(factor * 10.0**power for power in (-3, -2, -1, 0) for factor in (1, 2, 5)),
    10,
    15,
    30,
    *(each * _MINUTE for each in (1, 2, 5, 10, 15, 30)),
    *(each * _HOUR for each in (1, 2, 4, 8, 12)),
    *(each * _DAY for each in (1, 2, 5, 10, 30)),
]


@dataclass(frozen=True)
class Row:
    """One step on the time axis: `wait` and `work` are where its bars begin and how long they are, in per cent.

    `held` is the part of its work in which others were in its way. `after` is the step whose end it waited for last;
    `decisive`: without this step the run would have ended earlier.
    """

    step: StepRun
    wait: tuple[float, float]
    work: tuple[float, float]
    held: tuple[float, float]
    waited: float
    held_for: float
    after: str
    decisive: bool
    rate: float | None

    @property
    def spoken(self) -> str:
        """The bars in words."""
        if self.step.started_at is None:
            return "has not started"
        behind = f" after {self.after}" if self.after else ""
        held = f", then {self.held_for:.1f} s for others" if self.held_for else ""
        return f"waited {self.waited:.1f} s{behind}{held}, then worked"


@dataclass(frozen=True)
class Timeline:
    """The rows in the order of the document, and the marks of the axis as (place in per cent, time)."""

    rows: list[Row]
    marks: list[tuple[float, str]]
    seconds: float


@dataclass(frozen=True)
class _Axis:
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 0.001)

    def at(self, moment: datetime) -> float:
        """The place of a moment in per cent."""
        return min(100.0, max(0.0, (moment - self.start).total_seconds() / self.seconds * 100))

    def bar(self, begin: datetime, end: datetime) -> tuple[float, float]:
        left = round(self.at(begin), 2)
        return left, max(0.0, round(self.at(end) - left, 2))


def timeline(steps: list[StepRun], now: datetime) -> Timeline:
    """The axis begins when the first step was ready, and ends with the last one, or now."""
    ready = [each.queued_at or each.started_at for each in steps]
    running = any(each.state in STEP_OPEN for each in steps)
    ended = max((each.finished_at for each in steps if each.finished_at), default=now)
    axis = _Axis(min((each for each in ready if each), default=now), now if running else ended)
    decisive = _decisive(steps)
    rows = [_row(each, steps, axis, decisive=each.key in decisive) for each in steps]
    return Timeline(rows, _marks(axis.seconds), axis.seconds)


def _row(step: StepRun, steps: list[StepRun], axis: _Axis, *, decisive: bool) -> Row:
    last = _last_above(step, steps)
    after = last.key if last and last.key != PLAN else ""
    ready = step.queued_at or step.started_at
    if ready is None:
        return Row(step, (0, 0), (0, 0), (0, 0), 0, 0, after, decisive=False, rate=None)
    began = step.started_at or step.finished_at or axis.end
    over = max(began, step.finished_at or (axis.end if step.started_at else began))
    ready = min(ready, began)
    worked = (over - began).total_seconds()
    read = (step.progress or {}).get("rows", 0) if step.finished_at is None else step.rows_in
    waited = (began - ready).total_seconds()
    held_for = min(_held(step, over), worked)
    held = axis.bar(began, began + timedelta(seconds=held_for))
    work = axis.bar(began, over)
    rate = per_second(read, step.started_at, over)
    return Row(step, axis.bar(ready, began), work, held, waited, held_for, after, decisive=decisive, rate=rate)


def _held(step: StepRun, over: datetime) -> float:
    """Seconds in which others were in its way: it waits for them before it writes, so at the beginning of its work."""
    if step.output is not None and "waited" in step.output:
        return float(step.output["waited"])
    progress = step.progress or {}
    since = progress.get("waits_since")
    open_ = max(0.0, (over - datetime.fromisoformat(since)).total_seconds()) if since else 0.0
    return float(progress.get("waited", 0.0)) + open_


def _last_above(step: StepRun, steps: Iterable[StepRun]) -> StepRun | None:
    """Of the steps that a step waits for, the one that ended last."""
    above = [each for each in steps if each.key in step.upstream and each.finished_at]
    return max(above, key=lambda each: each.finished_at.timestamp() if each.finished_at else 0.0, default=None)


def _decisive(steps: list[StepRun]) -> frozenset[str]:
    """From the step that ended last back along whom each one waited for."""
    ended = [each for each in steps if each.finished_at and each.started_at]
    step = max(ended, key=lambda each: each.finished_at.timestamp() if each.finished_at else 0.0, default=None)
    found: list[str] = []
    while step is not None and step.key not in found:
        found.append(step.key)
        step = _last_above(step, ended)
    return frozenset(found)


def _marks(span: float) -> list[tuple[float, str]]:
    """Places on the axis at most a quarter of it apart, with their times."""
    every = next((each for each in _ROUND if span / each <= 4), _ROUND[-1] * 10)
    return [(number * every / span * 100, _short(number * every)) for number in range(int(span / every) + 1)]


def _short(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds * 1000:g} ms" if seconds else "0"


def usual(run: Run) -> dict[str, float]:
    """Seconds that each step took in the median of the last good runs of the pipeline, by the step's key."""
    good = Run.objects.filter(pipeline=run.pipeline_id, state="succeeded", mode=run.mode or run.requested_mode)
    steps = StepRun.objects.filter(run__in=good.order_by("-id")[:EARLIER], state="succeeded")
    took: dict[str, list[float]] = {}
    for key, spent in steps.values_list("key", F("finished_at") - F("started_at")):
        if spent is not None:
            took.setdefault(key, []).append(spent.total_seconds())
    return {key: median(found) for key, found in took.items()}


def ends_at(steps: list[StepRun], expected: Mapping[str, float], now: datetime) -> datetime | None:
    """When the run ends if each open step takes as long as it usually does; None where one has no earlier run."""
    ends: dict[str, datetime] = {}
    waiting: list[Any] = list(steps)
    while waiting:
        ready = [each for each in waiting if not any(other.key in each.upstream for other in waiting)]
        if not ready:
            return None
        for step in ready:
            waiting.remove(step)
            if step.state not in STEP_OPEN:
                ends[step.key] = step.finished_at or now
                continue
            if step.key not in expected:
                return None
            begins = step.started_at or max([now, *(ends[key] for key in step.upstream if key in ends)])
            ends[step.key] = max(now, begins + timedelta(seconds=expected[step.key]))
    return max(ends.values(), default=None)
