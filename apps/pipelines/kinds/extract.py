"""`extract`: reads exactly what `plan` has written down for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.pipelines import asking, failpoints, ingestion, planning
from apps.pipelines import windows as w
from apps.pipelines.execution.frame import new_context
from apps.pipelines.execution.kinds import Done, KindAdapter, Verdict
from apps.pipelines.graph import PLAN
from apps.pipelines.kinds.inputs import spec_of
from apps.pipelines.models import Run, StepRun
from apps.sources import services as sources
from apps.sources.services.watching import test_after_read
from dataplane.connectors.windows import Window as Bounds
from dataplane.errors import from_json
from dataplane.steps.base import StepContext, StepResult
from dataplane.steps.log import Line


class ExtractAdapter(KindAdapter):
    kind = "extract"

    def prepare(self, step: StepRun, run: Run) -> tuple[StepContext, Any]:
        spec = spec_of(step)
        output = run.steps.filter(key=PLAN).values_list("output", flat=True).first() or {}
        planned: dict[str, Any] = next((each for each in output.get("steps", ()) if each["key"] == step.key), {})
        if planned.get("failed"):
            raise from_json(planned["failed"])
        stream = planning.stream_of(spec, run.project_id, step.key)
        connector, config = sources.binding(stream)
        extras: dict[str, Any] = {"connector": connector, "stream": config, "seen": None, "passed": failpoints.hit}
        steps = list(run.steps.values_list("key", "kind", "upstream"))
        extras["positions"] = any(kind == "check" for _, kind, _ in steps)
        extras["loaded"] = _loaded(step.key, steps)
        window = w.taken_up(run).get(step.key) if spec.mode == "incremental" else None
        bounds = planned.get("bounds")
        if window is not None:
            bounds = _without(w.to_read(window), asking.ignored_files(stream))
            extras |= w.seen_before(window)
            extras["held"] = w.held(window, w.graph_of(run))
        extras["window"] = Bounds.from_json(bounds) if bounds else None
        return new_context(step, {}, extras), spec

    def tell(self, step: StepRun, result: StepResult, verdict: Verdict) -> list[Line]:
        rows, rejected = (verdict.output or {}).get("rows", 0), (verdict.output or {}).get("rejected", 0)
        said = f"Staged {rows:,} rows" + (
            f"; set {rejected:,} line{'' if rejected == 1 else 's'} aside that did not fit." if rejected else "."
        )
        fields = {"rows": rows, "rejected": rejected, "files": len(result.facts.get("files") or ())}
        warnings = [Line(each, "warning") for each in result.facts.get("warnings") or ()]
        return [*warnings, Line(said, "warning" if rejected else "info", fields)]

    def commit(self, step: StepRun, run: Run, result: StepResult) -> Verdict:
        table = result.table
        rejected = sum(each.rows for each in table.rejected) if table else 0
        rows = table.rows if table else 0
        known = result.facts.get("known", 0)
        ingestion.prove_step(step.key, result.rows_in, rows + rejected + known)
        spec = spec_of(step)
        if spec.mode == "incremental":
            window = w.taken_up(run).get(step.key)
            if window is not None:
                facts, there = result.facts, rows + rejected
                seen, count = facts.get("seen"), facts.get("boundary_rows")
                in_part = window.rows is not None and w.loaded_in_part(window, w.graph_of(run))
                if in_part and window.bounds["kind"] == "cursor":
                    # What has come into its midst is not in all of its datasets: a comparison is to find it.
                    there = min(there, window.rows or 0)
                bounds = _as_read(window.bounds, facts, in_part=in_part)
                w.staged(window, bounds, rows=there, seen=seen, boundary_rows=count)
        if result.facts.get("files"):
            sources.record_read(planning.stream_of(spec, run.project_id, step.key), result.facts["files"])
        test_after_read(run.project_id, spec.source)
        output = {"rows": rows, "rejected": rejected, "known": known, "bytes": result.facts.get("bytes", 0)}
        output["calls"] = result.facts.get("calls", 0)
        if result.facts.get("settled"):
            output |= {name: result.facts["settled"][name] for name in ("behind", "gone")}
        return Done(output | {"warnings": result.facts.get("warnings", [])})


def _loaded(key: str, steps: Sequence[tuple[str, str, list[str]]]) -> bool:
    """Whether a load takes over what the step has written, past checks that let all rows through."""
    return any(
        key in upstream and (kind == "load" or (kind == "check" and _loaded(behind, steps)))
        for behind, kind, upstream in steps
    )


def _without(bounds: dict[str, Any], ignored: frozenset[str]) -> dict[str, Any] | None:
    """A window's files but those that were ignored since it was planned; None when none is left."""
    if bounds["kind"] != "files":
        return bounds
    files = [each for each in bounds["files"] if each["path"] not in ignored]
    return {"kind": "files", "files": files} if files else None


def _as_read(bounds: dict[str, Any], facts: dict[str, Any], *, in_part: bool) -> dict[str, Any]:
    """A window's bounds as it was read.

    A file that was ignored since the plan is not among them, so that it may be taken in again; one that is not what a
    load has taken of it stays as that was, so that it counts as changed, and `last` says how it was read. Of a cursor
    it is kept from where on its rows are known, and how many came late; spans of messages end where a limit was
    reached.
    """
    if bounds["kind"] == "offsets":
        return dict(facts["settled"])
    if bounds["kind"] != "files":
        return {**bounds, **{name: facts.get(name) for name in ("seen_from", "hashed", "late")}}
    digests = {each["path"]: each["digest"] for each in facts["files"]}
    read = [{**each, "digest": digests[each["path"]]} for each in bounds["files"] if each["path"] in digests]
    if not in_part:
        return {"kind": "files", "files": read}
    first = {each["path"]: each for each in bounds.get("first", ())}
    kept = [first.get(each["path"], each) for each in read]
    # The same bytes with another time are the same file, as it is now.
    files = [now if then.get("digest") == now["digest"] else then for then, now in zip(kept, read, strict=True)]
    return {"kind": "files", "files": files, "first": list(first.values()), "last": read}
