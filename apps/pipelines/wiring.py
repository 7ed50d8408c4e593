"""How the steps of a document hang together, and what is wrong between them, each fault with its place."""

from __future__ import annotations

import difflib
from typing import Any

from apps.pipelines import text as texts
from apps.pipelines.graph import Graph, Node, find_cycle
from apps.pipelines.parts import Header, Step
from apps.pipelines.problems import Path, Problem
from dataplane.steps.base import DatasetInput


def nodes(steps: dict[str, Step]) -> list[Node]:
    """The graph's nodes: edges are inputs, references of rules, and datasets that a step of this document loads."""
    loaded = {step.spec.dataset: key for key, step in steps.items() if step.kind == "load"}
    found = []
    for key, step in steps.items():
        upstream: list[str] = []
        for each in step.inputs.values():
            other = loaded.get(each.dataset) if isinstance(each, DatasetInput) else each
            if other is not None and other not in upstream:
                upstream.append(other)
        incremental = step.kind == "extract" and step.spec.mode == "incremental"
        may_fail = step.settings.if_failed == "continue"
        # Of a document with only some of its steps, those that are left out are waited for by nobody.
        after = tuple(each for each in step.settings.after if each in steps)
        found.append(Node(key, step.kind, tuple(upstream), may_fail, incremental, after))
    return found


def problems_between(keys: list[str], steps: dict[str, Step], places: texts.Places) -> list[Problem]:
    """What is wrong between steps. A step that is wrong in itself still counts as one that others may name."""
    problems = []
    for key, step in steps.items():
        for each in step.inputs.values():
            if isinstance(each, str) and (each == key or each not in keys):
                problems.append(_bad_input(step, each, keys, places))
        for each in step.settings.after:
            if each == key or each not in keys:
                problems.append(_bad_input(step, each, keys, places))
    problems += _loaded_twice(steps, places)
    if problems or len(steps) < len(keys):
        return problems
    found = nodes(steps)
    cycle = find_cycle(found)
    if cycle:
        said = " → ".join(f"`{each}`" for each in cycle)
        message = f"The steps form a circle: {said}."
        remedy = "Cut one of these inputs, or take out an `after`: data flows one way."
        return [places.problem(("steps", cycle[0]), message, remedy)]
    graph = Graph(found)
    problems = _never_loaded(graph, places) + _deleting_what_is_not_new(graph, steps, places)
    return problems + _expected_of_no_dataset(steps, places)


def looks_for_nothing(header: Header, steps: dict[str, Step], places: texts.Places) -> list[Problem]:
    """A schedule that waits for new files needs an extract that knows which are new."""
    if header.schedule is None or not header.schedule.new_files:
        return []
    if any(each.kind == "extract" and each.spec.mode == "incremental" for each in steps.values()):
        return []
    message = "No extract reads new files only, so nothing says that there are any."
    remedy = "Read a source of files with `mode: incremental`, or remove `new_files`."
    return [places.problem(("schedule", "new_files"), message, remedy)]


def _bad_input(step: Step, named: str, known: list[str], places: texts.Places) -> Problem:
    here: Path = ("steps", step.key, step.kind)
    path = _where_named(step.written, named, here) or here
    if named in step.settings.after:
        path = ("steps", step.key, "after")
    if named == step.key:
        message = f"The step `{named}` names itself{'' if path[-1] == 'after' else ' as its input'}."
        return places.problem(path, message, "Name the step before it.")
    close = difflib.get_close_matches(named, known, 1)
    others = ", ".join(each for each in known if each != step.key)
    remedy = f"Did you mean `{close[0]}`?" if close else f"Steps are: {others}." if others else "Write it, too."
    return places.problem(path, f"There is no step `{named}`.", remedy)


def _where_named(value: Any, named: str, path: Path) -> Path | None:
    """Where below `path` a step is named, alone or as `step.column`."""
    if isinstance(value, str):
        return path if value == named or value.startswith(f"{named}.") else None
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    # The keys that name steps come first: a column or an expression may have the same name.
    for key, inner in sorted(pairs, key=lambda pair: str(pair[0]) not in ("input", "inputs", "references")):
        found = _where_named(inner, named, (*path, key))
        if found is not None:
            return found
    return None


def _loaded_twice(steps: dict[str, Step], places: texts.Places) -> list[Problem]:
    first: dict[tuple[str, str], str] = {}
    problems = []
    for key, step in steps.items():
        if step.kind != "load":
            continue
        place = (step.spec.destination or "", step.spec.dataset or step.spec.table)
        if place in first:
            what = "table" if place[0] else "dataset"
            message = f"The {what} `{place[1]}` is loaded by `{first[place]}` already."
            remedy = f"A {what} has one load step; union the inputs before it."
            problems.append(places.problem(("steps", key, "load", what), message, remedy))
        first.setdefault(place, key)
    return problems


def _never_loaded(graph: Graph, places: texts.Places) -> list[Problem]:
    """An incremental extract that feeds no load would read the same rows for ever: nothing says that they arrived."""
    return [
        places.problem(
            ("steps", each.key),
            "This incremental extract feeds no load step.",
            "Add a `load` step after it, or read it with `mode: full_refresh`.",
        )
        for each in graph.nodes.values()
        if each.incremental and not graph.loads_fed_by(each.key)
    ]


def _deleting_what_is_not_new(graph: Graph, steps: dict[str, Step], places: texts.Places) -> list[Problem]:
    """An incremental extract brings only what is new: deleting what does not arrive would delete all the rest."""
    return [
        places.problem(
            ("steps", key, "load", "delete_missing"),
            f"`{graph.incremental_direct(key)[0]}` brings only what is new, so all older rows would be deleted.",
            "Read it with `mode: full_refresh`, or remove `delete_missing`.",
        )
        for key, step in steps.items()
        if step.kind == "load" and step.spec.delete_missing and graph.incremental_direct(key)
    ]


def _expected_of_no_dataset(steps: dict[str, Step], places: texts.Places) -> list[Problem]:
    """A document says it of the datasets that it owns; a stream may be read by many pipelines and belongs to none."""
    return [
        places.problem(("steps", key, "expected"), *_expected_elsewhere(key, step))
        for key, step in steps.items()
        if step.settings.expected and not (step.kind == "load" and step.spec.dataset)
    ]


def _expected_elsewhere(key: str, step: Step) -> tuple[str, str]:
    beside = "Say `expected` beside a `load` step with a `dataset`"
    if step.kind != "extract":
        return f"`{key}` loads no dataset, so nothing tells whether it came in time.", f"{beside}."
    where = f"{step.spec.source}/{step.spec.stream}"
    return (
        f"`{key}` reads a stream, which belongs to no pipeline.",
        f"{beside}. Of the stream say it on its page, or with `manifold freshness set {where}`.",
    )
