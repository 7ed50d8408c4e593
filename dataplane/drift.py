"""How the columns of a stream differ from those that were last seen, and what a run may make of that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any, Literal

from dataplane.connectors.schema import Column, StreamConfig
from dataplane.errors import ConfigurationError, DataError, ManifoldError, Suggestion
from dataplane.nested import differences

Kind = Literal["added", "removed", "retyped", "renamed"]
Policy = Literal["evolve", "evolve_new", "ask", "stop"]
KINDS: tuple[Kind, ...] = ("added", "removed", "retyped", "renamed")
POLICIES: dict[Policy, str] = {
    "evolve": "Follow every change",
    "evolve_new": "Follow new columns only; any other change stops the run",
    "ask": "Ask: the run waits for a decision",
    "stop": "Stop the run",
}
Values = tuple[Mapping[str, frozenset[str]], Mapping[str, frozenset[str]]]
LIKELY = 0.6
"""From this score on a column that is new may be one that has gone, under another name."""
_POSSIBLE = 0.3
_CANDIDATES = 5


@dataclass(frozen=True)
class Candidate:
    """A new column that may be one that has gone, and how likely that is: 0 to 1."""

    column: str
    score: float


@dataclass(frozen=True)
class Change:
    """What became of one column. `before` and `after` are types; candidates: what it may be called now, best first.

    inside: where it is nested, what became of its parts; they are called `address.zip`, or `items[].sku` in a list.
    """

    kind: Kind
    column: str
    before: str = ""
    after: str = ""
    candidates: tuple[Candidate, ...] = ()
    inside: tuple[Change, ...] = ()

    @property
    def said(self) -> str:
        """The change in a few words."""
        if self.inside:
            return "; ".join(each.said for each in self.inside)
        if self.kind == "added":
            return f"{self.column} is new ({self.after})"
        if self.kind == "retyped":
            return f"{self.column} is {self.after}, it was {self.before}"
        if self.kind == "renamed":
            best = self.candidates[0]
            return f"{self.column} has gone, perhaps it is called {best.column} now ({best.score:.0%})"
        return f"{self.column} has gone"


@dataclass(frozen=True)
class Watch:
    """What is known of a stream before its source is asked.

    seen: its columns when they were last looked at. needed: columns without which a step cannot go on, and what they
    are to it. answered: kinds of change that need no asking any more, because somebody has said so once for all.
    beside: the columns that stand beside every record, whatever it holds.
    """

    seen: tuple[Column, ...]
    policy: Policy
    needed: Mapping[str, str] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    beside: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Drift:
    """The columns of a stream are not what they were. `now` are all that there are; `asks`: a person has to decide;
    `stops`: why no run may go on. `first`: none was known before, so there is nothing from which they could differ."""

    now: tuple[Column, ...]
    changes: tuple[Change, ...]
    asks: bool = False
    stops: ManifoldError | None = None
    first: bool = False

    @property
    def said(self) -> str:
        return "; ".join(each.said for each in self.changes)

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(each) for each in self.changes]


def compared(seen: Sequence[Column], now: Sequence[Column], values: Values | None = None) -> tuple[Change, ...]:
    """What became of the columns, in the order of the source; nothing where all are the same.

    values: some values of the columns that were seen, and of those that are there now, where there is a sample.
    """
    before, after = {each.name: each for each in seen}, {each.name: each for each in now}
    gone = [each for each in seen if each.name not in after]
    new = [each for each in now if each.name not in before]
    renames = _renames(gone, new, (seen, now), values)
    taken = {each[0].column for each in renames.values() if each[0].score >= LIKELY}
    changes = [Change("added", each.name, after=_shown(each)) for each in new if each.name not in taken]
    for each in seen:
        other = after.get(each.name)
        if other is None:
            candidates = renames.get(each.name, ())
            likely = bool(candidates) and candidates[0].score >= LIKELY
            changes.append(Change("renamed" if likely else "removed", each.name, _shown(each), "", candidates))
        elif _retyped(each, other):
            # The source's own types, of which one differs from the other: both may arrive in the same.
            inside = _inside(each.name, each.native, other.native)
            changes.append(Change("retyped", each.name, each.native, other.native, inside=inside))
    return tuple(changes)


def judged(stream: StreamConfig, watch: Watch, now: Sequence[Column], values: Values | None = None) -> Drift | None:
    """What these columns mean for a run under its policy; None where nothing has changed."""
    changes = compared(watch.seen, now, values)
    if not changes:
        return None
    if are_first(watch.seen, now, watch.beside):
        return Drift(tuple(now), changes, first=True)
    drift = Drift(tuple(now), changes)
    lost = next((each for each in changes if each.kind in ("removed", "renamed") and each.column in watch.needed), None)
    if lost is not None:
        return replace(drift, stops=_lost(stream, lost, watch.needed[lost.column]))
    if watch.policy == "ask":
        return replace(drift, asks=any(each.kind not in watch.answered for each in changes))
    harmless = ("added",) if watch.policy == "evolve_new" else ()
    if watch.policy != "evolve" and any(each.kind not in harmless for each in changes):
        return replace(drift, stops=_refused(stream, drift))
    return drift


def are_first(seen: Sequence[Column], now: Sequence[Column], beside: Sequence[Column]) -> bool:
    """Whether these are the first columns of a stream that anybody finds, but for those beside every record."""
    always = {each.name for each in beside}
    return always.issuperset(each.name for each in seen) and not always.issuperset(each.name for each in now)


def followed(
    stream: StreamConfig,
    seen: Sequence[Column],
    now: Sequence[Column],
    *,
    fills_missing: bool,
    renames: Mapping[str, str] | None = None,
) -> StreamConfig:
    """The declaration after these changes. A type that somebody declared stays while the column's own does.

    fills_missing: columns that are not there any more stay declared, because other parts of the stream may have them.
    renames: what columns that have gone are called now; they go on arriving under the names that they had.
    """
    renames = dict(renames or {})
    before, after = {each.name: each for each in seen}, {each.name: each for each in now}
    columns: list[Column] = []
    for each in stream.columns:
        if each.name in renames.values():
            # It is called again what it was called before: as the newest of its names it comes last.
            continue
        here = after.get(renames.get(each.name, each.name))
        if here is None:
            columns += [each] if fills_missing else []
            continue
        if fills_missing and each.name in renames:
            columns.append(each)
        known = before.get(each.name, each)
        kept = here if _retyped(known, here) else replace(here, type=each.type)
        columns.append(kept)
    there = {each.name for each in columns}
    columns += [each for each in now if each.name not in before and each.name not in there]
    there = {each.name for each in columns}
    select = [renames.get(name, name) for name in stream.select]
    kept_names = {source: name for source, name in stream.names.items() if source in there}
    names = {**kept_names, **{name: stream.names.get(old, old) for old, name in renames.items()}}
    if not fills_missing:
        names = kept_apart(names, now)
    names = {source: name for source, name in names.items() if source != name}
    return replace(stream, columns=tuple(columns), select=tuple(name for name in select if name in there), names=names)


def kept_apart(names: Mapping[str, str], columns: Sequence[Column]) -> dict[str, str]:
    """The names under which columns arrive, with one for each of these columns whose own another one has already."""
    doubles = (each.name for each in columns if each.name not in names and each.name in names.values())
    return {**names, **{each: f"{each}_2" for each in doubles}}


def _renames(
    gone: Sequence[Column],
    new: Sequence[Column],
    places: tuple[Sequence[Column], Sequence[Column]],
    values: Values | None,
) -> dict[str, tuple[Candidate, ...]]:
    """Column that has gone -> what it may be called now, the likeliest first, and the unlikely, too.

    Each new column is the likely guess of one of them at most.
    """
    old_places, new_places = ({each.name: at for at, each in enumerate(columns)} for columns in places)
    span = max(map(len, places)) - 1 or 1
    scores = {
        (old.name, each.name): _likeness(
            old, each, abs(old_places[old.name] - new_places[each.name]) / span, _overlap(old, each, values)
        )
        for old in gone
        for each in new
    }
    possible = ((score, *pair) for pair, score in scores.items() if score >= _POSSIBLE)
    ranked = sorted(possible, key=lambda each: (-each[0], each[1:]))
    first: dict[str, str] = {}
    for score, old_name, name in ranked:
        if score >= LIKELY and old_name not in first and name not in first.values():
            first[old_name] = name
    found: dict[str, tuple[Candidate, ...]] = {}
    for each in gone:
        best = first.get(each.name)
        others = [Candidate(name, score) for score, old, name in ranked if old == each.name and name != best]
        if best is None:
            # What is likely is another column under a new name already.
            others = [replace(other, score=min(other.score, LIKELY - 0.001)) for other in others]
        guess = [Candidate(best, scores[each.name, best])] if best is not None else []
        if guess or others:
            found[each.name] = (*guess, *others)[:_CANDIDATES]
    return found


def _overlap(old: Column, new: Column, values: Values | None) -> float | None:
    """Which share of the values of two columns both have; None where nobody knows."""
    one, other = (values[0].get(old.name), values[1].get(new.name)) if values else (None, None)
    return len(one & other) / min(len(one), len(other)) if one and other else None


def _likeness(old: Column, new: Column, distance: float, overlap: float | None) -> float:
    """How likely a new column is one that has gone: by its name, its type, where it stands, and what it holds.

    Values that both have speak for it; others do not speak against it, as new files bring new values.
    """
    one, other = (re.sub(r"[^0-9a-z]", "", each.name.casefold()) for each in (old, new))
    name = SequenceMatcher(None, one, other, autojunk=False).ratio()
    type_ = 1.0 if old.type == new.type or (old.native and old.native == new.native) else 0.0
    score = 0.5 * name + 0.3 * type_ + 0.2 * (1 - distance)
    return round(max(score, 0.6 * score + 0.4 * overlap) if overlap is not None else score, 3)


def _retyped(before: Column, after: Column) -> bool:
    return bool(before.native and after.native and before.native != after.native)


def _inside(column: str, before: str, after: str) -> tuple[Change, ...]:
    """What became of the parts of a nested column; nothing where it is another one as a whole."""
    return tuple(
        Change("retyped" if was and now else "added" if now else "removed", f"{column}{path}", was, now)
        for path, was, now in differences(before, after)
    )


def _shown(column: Column) -> str:
    """The type as the source has it, where it has one of its own."""
    return column.native if column.native and column.native != "text" else column.type


def _lost(stream: StreamConfig, change: Change, what: str) -> ManifoldError:
    guess = ""
    if change.candidates:
        best = change.candidates[0]
        guess = f" Perhaps it is called {best.column} now ({best.score:.0%})."
    cursor = what == "the cursor"
    remedy = (
        "Bring the column back, or choose another cursor on the stream's page and read everything again with mode seed."
        if cursor
        else "Bring the column back, or change the key in the pipeline's document and read everything again with mode "
        "seed."
    )
    return ConfigurationError(
        f"The column {change.column} of {stream.name} has gone, and it is {what}.{guess} {remedy}",
        code="cursor_lost" if cursor else "key_lost",
        evidence={"stream": stream.name, "column": change.column, "candidates": [vars(c) for c in change.candidates]},
    )


def _refused(stream: StreamConfig, drift: Drift) -> ManifoldError:
    return DataError(
        f"The columns of {stream.name} have changed: {drift.said}. Look at the change on the stream's page and take it "
        "over, or have the source mended.",
        code="schema_drift",
        evidence={"stream": stream.name, "changes": drift.as_json()},
        suggestions=[
            Suggestion("accept_columns", "Take the change over", "The stream is read as it is now.", applicable=True)
        ],
    )
