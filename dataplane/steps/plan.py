"""The first step of every run: ask each source what there is to read. What follows is decided above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from dataplane.connectors import slices
from dataplane.connectors.base import Connector
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.slices import Slice
from dataplane.connectors.windows import FileRef, FilesRefused, Mark, Planned, ReadMode, Window
from dataplane.drift import Drift, Values, Watch, followed, judged
from dataplane.errors import ManifoldError
from dataplane.http import TRAFFIC
from dataplane.steps.base import Spec, StepContext, StepKind, StepResult


@dataclass(frozen=True)
class Picked:
    """Files that somebody has picked by hand, by path or with `*` and `?`; no other is read. again: also such as were
    read before."""

    files: tuple[str, ...]
    again: bool = False

    def holds(self, file: FileRef) -> bool:
        return any(_fits(file, each) for each in self.files)

    def unknown(self, listed: Sequence[FileRef]) -> str | None:
        """The first of what was picked that fits none of these files."""
        return next((each for each in self.files if not any(_fits(file, each) for file in listed)), None)


def _fits(file: FileRef, picked: str) -> bool:
    # Brackets stand in names of files: they are no wildcards.
    return file.path == picked or fnmatchcase(file.path, picked.replace("[", "[[]"))


@dataclass(frozen=True)
class ReadBefore:
    """A window that was read, how many rows it brought, and the mark that it began with."""

    window: Window
    rows: int
    before: Mark


@dataclass(frozen=True)
class Verify:
    """What was read of a cursor: all of it as one window, and its rows. parts: the windows one by one, where they may
    be read again."""

    whole: Window
    rows: int
    parts: tuple[ReadBefore, ...] = ()


@dataclass(frozen=True)
class Ask:
    """A question to one source: what would be read now, and, with `verify`, whether it still holds what was read.

    part: ask for this slice of time alone. reserved: slices whose files are left for another run. watch: what the
    columns were when they were last looked at; None where nobody wants to know whether they have changed. picked: the
    only files that are wanted.
    """

    connector: Connector
    stream: StreamConfig
    mode: ReadMode
    mark: Mark
    verify: Verify | None = None
    may_fail: bool = False
    part: Slice | None = None
    reserved: tuple[Slice, ...] = ()
    watch: Watch | None = None
    picked: Picked | None = None


@dataclass(frozen=True)
class Answer:
    """What the source said; `failed` instead of it where the step may fail and the source does not answer, or where
    `drift` stops it: its columns are not what they were.

    count: the rows that `verify` holds by now, without those at its end that the next read is to bring. differs: the
    first of its parts that holds others than were read; `planned` goes on from the mark before it. seen: what would
    have been planned, had it not failed, as far as that is known.
    """

    planned: Planned | None
    count: int | None = None
    differs: int | None = None
    failed: ManifoldError | None = None
    drift: Drift | None = None
    seen: Planned | None = None


class PlanSpec(Spec):
    """The plan has nothing to declare: it stands in no document."""


class PlanStep(StepKind):
    """Asks what `extras["asks"]` holds (by step key) and answers in `facts["answers"]`.

    `facts["calls"]` counts the requests over HTTP that each answer took.
    """

    kind = "plan"
    Spec = PlanSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return {}

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        asks: dict[str, Ask] = context.extras["asks"]
        answers, calls = {}, {}
        for position, (key, ask) in enumerate(asks.items()):
            context.progress.detail = f"asking for {key}"
            context.progress.fraction = position / len(asks)
            before = TRAFFIC.calls
            try:
                answers[key] = answer(ask)
            except ManifoldError as error:
                error.evidence.setdefault("step", key)
                raise
            if (failed := answers[key].failed) is not None:
                failed.evidence.setdefault("step", key)
            calls[key] = TRAFFIC.calls - before
        return StepResult(facts={"answers": answers, "calls": calls})


def answer(ask: Ask) -> Answer:
    """Put one question. Raises ManifoldError, unless the step that asks is allowed to fail."""
    try:
        # A database is asked for its columns first: what is planned by one that has gone is an error there. Files,
        # records and messages are looked into only where there are any to read.
        drift = None
        if ask.watch is not None and ask.connector.family == "database":
            drift = _drift(ask, (), ask.connector.columns_now(ask.stream, ()))
        if drift is not None and drift.stops is not None:
            return Answer(None, failed=drift.stops, drift=drift)
        ask = _following(ask, drift)
        planned = _planned(ask)
        if (found := _looked_at(ask, planned)) is not None:
            files = planned.window.files if planned.window else ()
            drift = _drift(ask, files, found)
            if drift is not None and drift.stops is not None:
                if files:
                    drift.stops.evidence["files"] = [each.path for each in files[:100]]
                return Answer(None, failed=drift.stops, drift=drift, seen=planned)
        count, differs = _counted(ask)
        if differs is not None and ask.verify is not None:
            planned = _planned(replace(ask, mark=ask.verify.parts[differs].before))
    except ManifoldError as error:
        if not ask.may_fail:
            raise
        listed = error.listed if isinstance(error, FilesRefused) else ()
        return Answer(None, failed=error, seen=Planned(None, error.message, listed=listed))
    return Answer(planned, count, differs, drift=drift)


def _counted(ask: Ask) -> tuple[int | None, int | None]:
    """The rows that are there of what was read; and the first part that differs, where the whole does."""
    verify = ask.verify
    if verify is None:
        return None, None
    count = ask.connector.count(ask.stream, verify.whole)
    if count is not None and count != verify.rows:
        count = _but_new(ask, verify.whole, count)
    if count is None or count == verify.rows or not verify.parts:
        return count, None
    counts = (ask.connector.count(ask.stream, each.window) for each in verify.parts)
    first = (at for at, (there, each) in enumerate(zip(counts, verify.parts, strict=True)) if there != each.rows)
    return count, next(first, 0)


def _but_new(ask: Ask, whole: Window, count: int) -> int:
    """The rows of a window, of which there are `count`, without those at its end that the next read is to bring.

    They are asked for behind the count, and what is before them and they themselves are counted apart: so a row that
    comes there at this moment makes no difference.
    """
    coming, remembered = _planned(ask).window, ask.mark.boundary_rows
    if coming is None or coming.reread_from is None or remembered is None:
        return count
    before = ask.connector.count(ask.stream, Window("slice", column=whole.column, upper=coming.reread_from))
    end = ask.connector.count(ask.stream, replace(whole, reread_from=coming.reread_from))
    assert before is not None and end is not None
    return before + min(end, remembered)


def _looked_at(ask: Ask, planned: Planned) -> tuple[Column, ...] | None:
    """The columns of what is about to be read, where that tells them; None where nobody wants to know."""
    if ask.watch is None or planned.window is None or ask.connector.family == "database":
        return None
    return planned.columns or ask.connector.columns_now(ask.stream, planned.window.files)


def _drift(ask: Ask, files: Sequence[FileRef], now: tuple[Column, ...] | None) -> Drift | None:
    """How the columns have changed since they were last looked at."""
    if ask.watch is None or now is None:
        return None
    if ask.connector.samples:
        seen = {each.name.casefold() for each in ask.watch.seen}
        now = (*ask.watch.seen, *(each for each in now if each.name.casefold() not in seen))
    return judged(ask.stream, ask.watch, now, _values(ask, files, {each.name for each in now}))


def _values(ask: Ask, files: Sequence[FileRef], now: set[str]) -> Values | None:
    """A sample of what was read last and of what comes, where columns have gone while others have come."""
    seen = {each.name for each in ask.watch.seen} if ask.watch else set()
    if not files or not ask.mark.files or not (seen - now and now - seen):
        return None
    return ask.connector.values(ask.stream, ask.mark.files[-1]), ask.connector.values(ask.stream, files[-1])


def _following(ask: Ask, drift: Drift | None) -> Ask:
    """The question put to the stream as it is now; what is read of it does not depend on how its columns are named."""
    if drift is None or ask.watch is None:
        return ask
    fills = ask.connector.fills_missing
    return replace(ask, stream=followed(ask.stream, ask.watch.seen, drift.now, fills_missing=fills))


def _planned(ask: Ask) -> Planned:
    if ask.part is not None:
        return slices.plan(ask.connector, ask.stream, ask.part, ask.mark)
    mark, picked = ask.mark, ask.picked
    if picked is not None and picked.again:
        mark = replace(mark, files=tuple(each for each in mark.files if not picked.holds(each)))
    planned = slices.without(ask.connector.plan(ask.stream, ask.mode, mark), ask.reserved)
    return planned if picked is None else slices.only(planned, picked.holds)
