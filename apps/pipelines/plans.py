"""What a run is going to read, as data: the survey of what rows say, the reading of each extract, and the plan."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.pipelines import arrival
from apps.pipelines import windows as w
from apps.pipelines.document import Document
from apps.pipelines.graph import Graph
from apps.pipelines.models import Window
from apps.sources.models import Stream
from dataplane.connectors.windows import FileRef
from dataplane.drift import Drift
from dataplane.errors import Suggestion
from dataplane.steps.plan import Ask

Way = Literal["full", "new", "seed", "repeat", "verify", "overtaken", "slice"]

SEED = Suggestion("seed", "Read everything again", "Replaces the datasets with what the sources hold now.", True)


@dataclass(frozen=True)
class Survey:
    """What the rows say before any source is asked.

    windows: all that still count, by incremental extract, the oldest first; `sliced` those that backfills have read.
    others: those that no extract reads any more. anew: those that were never read and are planned anew. held: why
    extracts read nothing new. passed: why they read nothing at all, whatever their sources hold. batch: the one that is
    repeated. then: the mode of the run that has to follow, if rows say so.
    """

    way: Way
    document: Document
    graph: Graph
    streams: dict[str, Stream]
    reason: str = ""
    batch: uuid.UUID | None = None
    retry: bool = False
    windows: dict[str, list[Window]] = field(default_factory=dict)
    sliced: dict[str, list[Window]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)
    others: tuple[Window, ...] = ()
    anew: tuple[Window, ...] = ()
    reused: frozenset[str] = frozenset()
    then: str | None = None
    asks: dict[str, Ask] = field(default_factory=dict)

    @property
    def stale(self) -> tuple[uuid.UUID, ...]:
        """Windows that nobody will read again."""
        left = [each for each in self.others if each.state in w.OPEN and each.backfill_id is None]
        return tuple(each.pk for each in (*left, *self.anew))

    @property
    def renamed(self) -> dict[tuple[str, uuid.UUID, str], str]:
        """Extracts that have another id by now: from the one they had, with source and stream, to the new one."""
        found = [(each, key) for key in self.windows for each in self.all_of(key) if each.step_key != key]
        return {(each.step_key, each.source, each.stream): key for each, key in found}

    def all_of(self, key: str) -> list[Window]:
        """Everything that was read by an extract, or is being read."""
        return self.windows[key] + self.sliced[key]

    def merges(self, key: str) -> bool:
        """Whether every load that the rows of an extract reach knows them again by a key."""
        return all(self.document.steps[each].spec.mode == "merge" for each in self.graph.loads_fed_by(key))

    def repeated(self) -> dict[str, Window]:
        """The windows of the batch that is repeated, by step."""
        return {key: each for key in self.windows for each in self.all_of(key) if each.batch == self.batch}

    def arrived(self) -> set[str]:
        """The extracts that have loaded all of that batch, and share no load with one that has not.

        A retry, which may be of an older version than the one that loaded them, reads them again.
        """
        batch = self.repeated()
        done = {key for key, each in batch.items() if each.state == "done" and not self.retry}
        return arrival.parted(done, {key: self.graph.loads_fed_by(key) for key in batch})


@dataclass(frozen=True)
class Reading:
    """What one extract reads: `bounds` None is nothing. `window`: the row that already says so. `failed`: why it can
    read nothing, of a step that may fail. `drift`: how its columns have changed. `empty`: the bounds of a seed
    that finds nothing."""

    key: str
    stream: Stream
    incremental: bool
    bounds: dict[str, Any] | None
    reason: str
    rows: int | None = None
    bytes: int | None = None
    warnings: tuple[str, ...] = ()
    listed: tuple[FileRef, ...] = ()
    changed: tuple[str, ...] = ()
    touched: tuple[FileRef, ...] = ()
    window: Window | None = None
    failed: dict[str, Any] | None = None
    drift: Drift | None = None
    empty: dict[str, Any] | None = None

    def reads(self) -> list[Any]:
        """For people: the files, or the stream with its bounds."""
        if self.bounds is None:
            return []
        if self.bounds["kind"] == "files":
            return [{"path": each["path"], "size": each["size"]} for each in self.bounds["files"]]
        if self.bounds["kind"] == "offsets":
            new = [each for each in self.bounds["spans"] if each["lower"] != each["upper"]]
            return [{"stream": self.stream.name, **_shown(each)} for each in new]
        shown = {name: self.bounds[name] for name in ("column", "lower", "upper") if name in self.bounds}
        return [{"stream": self.stream.name, **shown}]


@dataclass(frozen=True)
class Plan:
    """What a run does. `skip`: why it ends at once. `then`: the mode of the run that has to follow it, if any. `waits`:
    the extracts that have something new, which it does not read."""

    mode: str
    reason: str
    readings: tuple[Reading, ...] = ()
    batch: uuid.UUID | None = None
    skip: str | None = None
    stale: tuple[uuid.UUID, ...] = ()
    renamed: dict[tuple[str, uuid.UUID, str], str] = field(default_factory=dict)
    replaces: bool = False
    then: str | None = None
    waits: tuple[str, ...] = ()


def _shown(span: dict[str, Any]) -> dict[str, Any]:
    return {name: span[name] for name in ("partition", "lower", "upper")}
