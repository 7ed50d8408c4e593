"""The ingestion history: what became of the rows of each stream in each run.

Every row that an extract fetches is counted once: read before and known (skipped), set aside (quarantined), loaded
(inserted, updated, or skipped because it was there already), or used: taken by a step that makes other rows of it or
only compares with it. Together they are what was fetched; a load of which that is not true is not committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from apps.audit.ticks import tick
from apps.pipelines.graph import PLAN, Graph, Node
from apps.pipelines.models import Ingestion, Run, StepRun
from apps.pipelines.plans import SEED
from apps.pipelines.states import STEP_DONE
from apps.sources.models import Source
from dataplane.errors import BugError, DataError, ManifoldError

_AT_ONCE = 5_000


@dataclass(frozen=True)
class Account:
    """What became of the rows that were fetched. All but `fetched` together are `fetched` when they have arrived."""

    fetched: int
    inserted: int
    updated: int
    skipped: int
    quarantined: int
    used: int

    @property
    def balanced(self) -> bool:
        return self.fetched == self.inserted + self.updated + self.skipped + self.quarantined + self.used


@dataclass(frozen=True)
class Way:
    """How the rows of an extract go on: through checks to a load, or to a step that makes other rows of them.

    end: None where nobody takes them.
    """

    extract: StepRun
    checks: tuple[StepRun, ...]
    end: StepRun | None

    @property
    def load(self) -> StepRun | None:
        return self.end if self.end is not None and self.end.kind == "load" else None

    @property
    def steps(self) -> list[StepRun]:
        return [self.extract, *self.checks, *([self.end] if self.end is not None else [])]

    @property
    def account(self) -> Account:
        read = self.extract.output or {}
        arriving = (self.checks or (self.extract,))[-1].rows_out
        inserted, updated, skipped = _landed(self.load, arriving)
        done = self.end is None or self.end.state in STEP_DONE
        return Account(
            fetched=self.extract.rows_in,
            inserted=inserted,
            updated=updated,
            skipped=read.get("known", 0) + skipped,
            quarantined=sum(each.rows_rejected for each in (self.extract, *self.checks)),
            used=arriving if self.load is None and done else 0,
        )


def prove_step(step: str, taken: int, left: int) -> None:
    """Raise BugError unless a step gave on, set aside or knew as many rows as it took."""
    if taken != left:
        raise BugError(
            f"The step `{step}` took {taken} rows, and {left} are left of them. Nothing of it counts. Run it again; if "
            "that does not help, report it with the run's log.",
            code="rows_unaccounted",
            evidence={"step": step, "taken": taken, "left": left},
        )


def prove(run: Run, load: StepRun, output: dict[str, Any]) -> None:
    """Raise ManifoldError unless all rows that reach a load are accounted for. In its transaction, with its output."""
    steps = _steps(run)
    for each in steps:
        if each.pk == load.pk:
            each.state, each.output = "succeeded", output
    for way in (way for ways in _ways(steps).values() for way in ways):
        if way.end is not None and way.end.pk == load.pk and not way.account.balanced:
            raise _unaccounted(way)


def keep(run: Run) -> None:
    """Write what became of each stream of a run. In the transaction that ends it; a run ends once."""
    steps = _steps(run)
    wanted = _wanted(run, steps)
    by_extract = _ways([each for each in steps if each.key in wanted])
    if not by_extract:
        return
    slugs = {ways[0].extract.spec["source"] for ways in by_extract.values()}
    found = Source.objects.filter(project_id=run.project_id, slug__in=slugs)
    sources = dict(found.values_list("slug", "pk"))
    errors = [each.error for each in steps if each.state == "failed"]
    asked = next((each.output or {} for each in steps if each.key == PLAN and each.state == "succeeded"), {})
    Ingestion.objects.bulk_create(
        _row(run, ways, sources, errors, asked.get("calls", {}))
        for ways in by_extract.values()
        if not _done_before(ways)
    )


@tick
def forget_old() -> None:
    """Remove rows that are older than the history is kept, some at a time."""
    old = Ingestion.objects.filter(at__lt=Now() - timedelta(days=settings.HISTORY_DAYS))
    Ingestion.objects.filter(pk__in=list(old.order_by("at").values_list("pk", flat=True)[:_AT_ONCE])).delete()


def _steps(run: Run) -> list[StepRun]:
    return list(run.steps.defer("table", "progress").order_by("position"))


def _wanted(run: Run, steps: Iterable[StepRun]) -> set[str]:
    """The steps that a run was to do: those that were asked for with all that they need, else all."""
    graph = Graph(Node(each.key, each.kind, tuple(each.inputs)) for each in steps)
    return set(run.only).union(*(graph.ancestors(key) for key in run.only)) if run.only else set(graph.nodes)


def _ways(steps: Iterable[StepRun]) -> dict[str, list[Way]]:
    """The ways of each extract's rows, in the order of the document."""
    takers: dict[str, list[StepRun]] = {}
    for each in steps:
        # What a rule of a check refers to is only compared with.
        taken = [each.spec["input"]] if each.kind in ("check", "load") else each.inputs
        for key in taken:
            if isinstance(key, str):
                takers.setdefault(key, []).append(each)
    return {each.key: list(_onward(each, (), takers)) for each in steps if each.kind == "extract"}


def _onward(extract: StepRun, checks: tuple[StepRun, ...], takers: dict[str, list[StepRun]]) -> Iterator[Way]:
    following = takers.get((checks or (extract,))[-1].key, [])
    if not following:
        yield Way(extract, checks, None)
    for each in following:
        if each.kind == "check":
            yield from _onward(extract, (*checks, each), takers)
        else:
            yield Way(extract, checks, each)


def _landed(load: StepRun | None, arriving: int) -> tuple[int, int, int]:
    """Of the rows that reach a load: how many it inserted, updated, and skipped."""
    if load is None or load.state not in STEP_DONE:
        return 0, 0, 0
    output = load.output or {}
    if load.state != "reused" and output.get("status") == "already_done" and "destination" in output:
        # The ledger tells how many have arrived. Fewer may come again: what was changed since lies in a later window.
        return 0, 0, min(arriving, output["inserted"] + output["updated"] + output["skipped"])
    if load.state == "reused" or output.get("status") != "loaded":
        return 0, 0, arriving
    if "inserted" in output:
        return output["inserted"], output["updated"], output["skipped"]
    return output["rows"], 0, 0


def _done_before(ways: list[Way]) -> bool:
    """Whether a retry has taken over all of it from the run that did the work."""
    return all(each.state == "reused" for way in ways for each in way.steps)


def _main(ways: list[Way]) -> Way:
    """The way that a row of the history tells of: to the first load that had something to do."""

    def rank(way: Way) -> int:
        if way.load is None:
            return 2 if way.end is not None else 3
        return 1 if way.load.state in ("reused", "skipped") else 0

    return min(ways, key=rank)


def _row(run: Run, ways: list[Way], sources: dict[str, Any], errors: list[Any], asked: dict[str, int]) -> Ingestion:
    """The row of one stream. asked: how many requests the plan has sent for each extract."""
    way = _main(ways)
    extract, account = way.extract, way.account
    state, error = _ended(run, way, errors)
    if state == "succeeded" and not account.balanced:
        state, error = "failed", _unaccounted(way).as_json()
    read = (extract.output or {}) if extract.state != "reused" else {}
    return Ingestion(
        project_id=run.project_id,
        run=run,
        step_key=extract.key,
        source=sources.get(extract.spec["source"]),
        # Nothing may keep a run from ending, whatever its document names.
        source_slug=extract.spec["source"][:63],
        stream=extract.spec["stream"][:200],
        state=state,
        **asdict(account),
        bytes=read.get("bytes", 0),
        calls=read.get("calls", 0) + asked.get(extract.key, 0),
        stored=way.load.bytes_out if way.load is not None and way.load.state == "succeeded" else 0,
        seconds=sum((_took(each) for each in way.steps), timedelta()).total_seconds(),
        error=error,
        loads=[_load(each) for each in ways if each.load is not None],
    )


def _ended(run: Run, way: Way, errors: list[Any]) -> tuple[str, Any]:
    """How it ended for these rows, and the error that kept them from arriving."""
    failed = next((each for each in way.steps if each.state == "failed"), None)
    if failed is not None:
        return "failed", failed.error
    if run.state == "skipped":
        return "skipped", None
    arrived = all(each.state in STEP_DONE for each in way.steps)
    if arrived and (way.load is not None or run.state == "succeeded"):
        # A run of only some steps may have left the load out.
        return ("skipped" if way.end is None and run.only else "succeeded"), None
    if run.state != "succeeded":
        return run.state, run.error
    return "failed", errors[0] if errors else None


def _load(way: Way) -> dict[str, Any]:
    load, account = way.load, way.account
    assert load is not None
    to = load.spec.get("dataset") or f"{load.spec['destination']}/{load.spec['table']}"
    known = (way.extract.output or {}).get("known", 0)
    return {
        "step": load.key,
        "to": to,
        "status": (load.output or {}).get("status", load.state),
        "inserted": account.inserted,
        "updated": account.updated,
        "skipped": account.skipped - known,
    }


def _took(step: StepRun) -> timedelta:
    if step.state == "reused" or step.started_at is None or step.finished_at is None:
        return timedelta()
    return step.finished_at - step.started_at


def _unaccounted(way: Way) -> ManifoldError:
    counts = asdict(way.account)
    others = ", ".join(f"{number} {name}" for name, number in counts.items() if name != "fetched")
    said = f"The rows of `{way.extract.key}` do not add up: {counts['fetched']} were fetched, and {others}."
    evidence = {"step": way.extract.key, **counts}
    if way.load is not None and way.load.spec.get("destination"):
        return DataError(
            f"{said} What has arrived in {way.load.spec['table']} stays there, and is not loaded a second time. Look "
            "whether a trigger or a rule of it leaves rows out, mend that, and read everything again with mode seed.",
            code="rows_unaccounted",
            evidence=evidence,
            suggestions=[SEED] if way.extract.spec.get("mode") == "incremental" else [],
        )
    return BugError(
        f"{said} Nothing of this load counts. Run it again; if that does not help, report it with the run's log.",
        code="rows_unaccounted",
        evidence=evidence,
    )
