"""The document of a pipeline: from a text to its steps, or to all that is wrong with it, each fault with its place.

This module asks no database, so `manifold validate` works without a server. What needs the project's sources and
datasets is asked in `validation.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from apps.pipelines import text as texts
from apps.pipelines import wiring
from apps.pipelines.explain import explain, unknown_errors
from apps.pipelines.graph import PLAN, Graph
from apps.pipelines.parts import Header, Step, StepSettings
from apps.pipelines.problems import DocumentError, Path, Problem
from dataplane.steps import registry

FORMAT = 1


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
        return Graph(wiring.nodes(self.steps))

    def with_all_above(self, keys: Iterable[str]) -> list[str]:
        """These steps and everything that they need, in the document's order. Raises KeyError for one not there."""
        graph, chosen = self.graph(), set(keys)
        for key in list(chosen):
            chosen |= graph.ancestors(key)
        return [key for key in self.steps if key in chosen]

    def only(self, keys: Collection[str]) -> Document:
        """The document with nothing but these steps and what they need; with no key it is whole."""
        if not keys:
            return self
        return Document(self.header, {key: self.steps[key] for key in self.with_all_above(keys)})

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
    if document is not None:
        # Not of what is stored: there a name may have come from another release.
        problems = unknown_errors(document.header.retry, ("retry",), places)
        for key, step in document.steps.items():
            problems += unknown_errors(step.settings.retry, ("steps", key, "retry"), places)
    return (None if problems else document), _in_order(problems), places


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
    problems += wiring.problems_between(list(written) if isinstance(written, dict) else [], steps, places)
    if header is not None and not problems:
        problems = wiring.looks_for_nothing(header, steps, places)
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
