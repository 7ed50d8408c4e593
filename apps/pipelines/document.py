"""The document of a pipeline: what may stand in it, and everything that is wrong with one, each fault with its place.

This module asks no database, so `manifold validate` works without a server. What needs the project's sources and
datasets is asked in `validation.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from apps.pipelines import text as texts
from apps.pipelines.expecting import Expected
from apps.pipelines.explain import explain
from apps.pipelines.graph import PLAN, Graph, Node, find_cycle
from apps.pipelines.problems import DocumentError, Path, Problem
from apps.pipelines.schedule import Schedule
from dataplane.steps import registry
from dataplane.steps.base import DatasetInput, Spec

FORMAT = 1

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
StepKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
Seconds = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]
Queue = Literal["critical", "default", "bulk"]


class Retry(Spec):
    """When a step is tried again: `attempts` counts executions, and the last delay (in seconds) repeats."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    delays: Annotated[tuple[Annotated[float, Field(ge=0, le=86400)], ...], Field(min_length=1, max_length=20)] = (
        10,
        60,
        300,
    )
    on: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]+$", max_length=63)], ...] = (
        "transient",
        "infrastructure",
    )


class StepSettings(Spec):
    """What a step of any kind may carry beside its kind."""

    retry: Retry | None = None
    timeout: Seconds | None = None
    if_failed: Literal["stop", "continue"] = "stop"
    after: tuple[StepKey, ...] = ()
    expected: Expected | None = None


class Header(Spec):
    """A document without the inside of its steps."""

    manifold: Literal[1]
    pipeline: Slug
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    steps: Annotated[dict[StepKey, dict[str, Any]], Field(min_length=1, max_length=500)]
    retry: Retry = Retry()
    timeout: Seconds | None = None
    priority: Queue = "default"
    if_running: Literal["queue", "skip"] = "queue"
    schedule: Schedule | None = None


@dataclass(frozen=True)
class Step:
    """One step: its kind, the kind's own part as a model and as it was written, and its settings."""

    key: str
    kind: str
    spec: Any
    written: dict[str, Any]
    settings: StepSettings

    @property
    def inputs(self) -> dict[str, str | DatasetInput]:
        """Name within the step -> id of another step, or a dataset."""
        return registry.get(self.kind).inputs(self.spec)


@dataclass(frozen=True)
class Document:
    """A document that is right in itself. `steps` keep the order in which they were written."""

    header: Header
    steps: dict[str, Step]

    @property
    def pipeline(self) -> str:
        return self.header.pipeline

    @property
    def title(self) -> str:
        return self.header.title

    def as_json(self) -> dict[str, Any]:
        """What a version stores: every default of the head written out, each step's kind as it was written.

        `order` is that of the steps, which the database's jsonb does not keep.
        """
        head = self.header.model_dump(mode="json", exclude={"steps"})
        steps = {
            key: {step.kind: step.written, **step.settings.model_dump(mode="json", exclude_unset=True)}
            for key, step in self.steps.items()
        }
        return {**head, "order": list(steps), "steps": steps}

    def graph(self) -> Graph:
        """The steps and what each waits for."""
        return Graph(_nodes(self.steps))

    def with_all_above(self, keys: Iterable[str]) -> list[str]:
        """These steps and everything that they need, in the document's order. Raises KeyError for one not there."""
        graph, chosen = self.graph(), set(keys)
        for key in list(chosen):
            chosen |= graph.ancestors(key)
        return [key for key in self.steps if key in chosen]

    def only(self, keys: Iterable[str]) -> Document:
        """The document with nothing but these steps and what they need; with no key it is whole."""
        chosen = self.with_all_above(keys)
        return Document(self.header, {key: self.steps[key] for key in chosen}) if chosen else self

    def loads(self) -> dict[str, Step]:
        """Dataset slug -> the step that loads it."""
        return {step.spec.dataset: step for step in self.steps.values() if step.kind == "load" and step.spec.dataset}

    def loads_outside(self) -> list[Step]:
        """The steps that load into a table of a destination."""
        return [each for each in self.steps.values() if each.kind == "load" and each.spec.destination]

    def incremental(self) -> list[Step]:
        """The extracts that read only what is new, in the order of the document."""
        return [each for each in self.steps.values() if each.kind == "extract" and each.spec.mode == "incremental"]


def parse(text: str) -> tuple[Document | None, list[Problem]]:
    """The document that a text says, or None and everything that is wrong with it, in the order of its lines."""
    document, problems, _ = examine(text)
    return document, problems


def examine(text: str) -> tuple[Document | None, list[Problem], texts.Places]:
    """As `parse`, with the places of every node, for those who have more to say about it."""
    value, places, problems = texts.read(text)
    if problems:
        return None, _in_order(problems), places
    document, problems = understand(value, places)
    return document, _in_order(problems), places


def load(stored: dict[str, Any]) -> Document:
    """The document of a stored version. Raises DocumentError when a kind it names is no longer there."""
    value = {name: each for name, each in stored.items() if name != "order"}
    steps = value["steps"]
    value["steps"] = {key: steps[key] for key in stored.get("order", steps)}
    document, problems = understand(value, texts.Places())
    if document is None:
        raise DocumentError(problems)
    return document


def upgrade(value: dict[str, Any]) -> dict[str, Any]:
    """The document in today's format. Format 1 is the first, so there is nothing to rewrite."""
    return value


def understand(value: Any, places: texts.Places) -> tuple[Document | None, list[Problem]]:
    """The document that a plain value says, or None and its problems."""
    if not isinstance(value, dict):
        remedy = "Begin with `manifold: 1`, `pipeline: a-name` and `steps:`."
        return None, [places.problem((), "A document is a mapping of keys.", remedy)]
    unknown = _format_problem(value, places)
    if unknown:
        return None, [unknown]
    value = upgrade(value)
    header: Header | None = None
    problems: list[Problem] = []
    try:
        header = Header.model_validate(value)
    except ValidationError as error:
        problems += explain(error, Header, value, (), places)
    written = value.get("steps")
    steps: dict[str, Step] = {}
    for key, each in written.items() if isinstance(written, dict) else ():
        if isinstance(each, dict):
            step, wrong = _step(key, each, places)
            problems += wrong
            if step is not None:
                steps[key] = step
    problems += _wiring(list(written) if isinstance(written, dict) else [], steps, places)
    if header is not None and not problems:
        problems = _looks_for_nothing(header, steps, places)
    if header is None or problems:
        return None, problems
    return Document(header, steps), []


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a document, with every kind of step that is installed."""
    schema = Header.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    settings = StepSettings.model_json_schema()
    definitions.update(settings.pop("$defs", {}))
    shapes = []
    for name, kind in sorted(registry.kinds().items()):
        part = kind.Spec.model_json_schema()
        definitions.update(part.pop("$defs", {}))
        definitions[f"step_{name}"] = part
        properties = {name: {"$ref": f"#/$defs/step_{name}"}, **settings["properties"]}
        shapes.append({"type": "object", "properties": properties, "required": [name], "additionalProperties": False})
    schema["properties"]["steps"]["additionalProperties"] = {"oneOf": shapes}
    schema["properties"]["steps"].pop("patternProperties", None)
    schema["properties"]["steps"]["propertyNames"] = {"pattern": r"^[a-z][a-z0-9_-]*$", "maxLength": 63}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda each: (each.line, each.column))


def _format_problem(value: dict[str, Any], places: texts.Places) -> Problem | None:
    given = value.get("manifold")
    if given == FORMAT and not isinstance(given, bool):
        return None
    if "manifold" not in value:
        return places.problem((), "The format is missing.", "Begin with `manifold: 1`.")
    return places.problem(
        ("manifold",), f"The format {given!r} is unknown.", "This Manifold reads format 1: `manifold: 1`."
    )


def _step(key: str, written: dict[str, Any], places: texts.Places) -> tuple[Step | None, list[Problem]]:
    path: Path = ("steps", key)
    if key == PLAN:
        return None, [
            places.problem(path, "The id `plan` is taken: it is the first step of every run.", "Choose another id.")
        ]
    kinds = registry.kinds()
    named = [each for each in written if each in kinds]
    if len(named) != 1:
        return None, [_no_single_kind(path, written, named, sorted(kinds), places)]
    kind = named[0]
    rest = {name: value for name, value in written.items() if name != kind}
    problems: list[Problem] = []
    settings, spec = StepSettings(), None
    try:
        settings = StepSettings.model_validate(rest)
    except ValidationError as error:
        problems += explain(error, StepSettings, rest, path, places)
    try:
        spec = kinds[kind].Spec.model_validate(written[kind])
    except ValidationError as error:
        problems += explain(error, kinds[kind].Spec, written[kind], (*path, kind), places)
    return (None if problems else Step(key, kind, spec, written[kind], settings)), problems


def _no_single_kind(
    path: Path, written: dict[str, Any], named: list[str], kinds: list[str], places: texts.Places
) -> Problem:
    if named:
        said = " and ".join(f"`{each}`" for each in named)
        return places.problem(
            (*path, named[1]), f"A step has exactly one kind, this one has {said}.", "Make two steps of it."
        )
    strange = [each for each in written if each not in StepSettings.model_fields]
    close = difflib.get_close_matches(strange[0], kinds, 1) if strange else []
    choice = f"Did you mean `{close[0]}`?" if close else f"Kinds are: {', '.join(kinds)}."
    if strange:
        return places.problem((*path, strange[0]), f"`{strange[0]}` is no kind of step.", choice)
    return places.problem(path, "The step has no kind.", choice)


def _nodes(steps: dict[str, Step]) -> list[Node]:
    """The graph's nodes: edges are inputs, references of rules, and datasets that a step of this document loads."""
    loaded = {step.spec.dataset: key for key, step in steps.items() if step.kind == "load"}
    nodes = []
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
        nodes.append(Node(key, step.kind, tuple(upstream), may_fail, incremental, after))
    return nodes


def _wiring(keys: list[str], steps: dict[str, Step], places: texts.Places) -> list[Problem]:
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
    nodes = _nodes(steps)
    cycle = find_cycle(nodes)
    if cycle:
        said = " → ".join(f"`{each}`" for each in cycle)
        message = f"The steps form a circle: {said}."
        remedy = "Cut one of these inputs, or take out an `after`: data flows one way."
        return [places.problem(("steps", cycle[0]), message, remedy)]
    graph = Graph(nodes)
    problems = _never_loaded(graph, places) + _deleting_what_is_not_new(graph, steps, places)
    return problems + _expected_of_no_dataset(steps, places)


def _looks_for_nothing(header: Header, steps: dict[str, Step], places: texts.Places) -> list[Problem]:
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
    """Only of datasets it is known when they were loaded."""
    return [
        places.problem(
            ("steps", key, "expected"),
            f"`{key}` loads no dataset, so nothing tells whether it came in time.",
            "Say `expected` beside a `load` step with a `dataset`.",
        )
        for key, step in steps.items()
        if step.settings.expected and not (step.kind == "load" and step.spec.dataset)
    ]
