"""pydantic's findings in plain words: which key, what is wrong with it, what may stand there."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from apps.pipelines.parts import Retry
from apps.pipelines.problems import Path, Problem
from apps.pipelines.text import Places
from dataplane.codes import CLASSES, NAMES


def explain(error: ValidationError, model: type[BaseModel], value: Any, base: Path, places: Places) -> list[Problem]:
    """pydantic's findings as problems: one for each place, the deepest where a union was tried in several ways."""
    found: dict[Path, Problem] = {}
    for each in error.errors(include_url=False):
        path = _real_path(each["loc"], value)
        problem = _one(each, path, model, base, places)
        found.setdefault(path, problem)
    deepest = [path for path in found if not any(other != path and other[: len(path)] == path for other in found)]
    return [found[path] for path in deepest]


def unknown_errors(policy: Retry | None, at: Path, places: Places) -> list[Problem]:
    """The names in a policy of retries that no error has: nothing would be tried again for them."""
    problems = []
    for number, name in enumerate(policy.on if policy is not None else ()):
        if name not in NAMES:
            close = difflib.get_close_matches(name, [*CLASSES, *sorted(NAMES)], 1)
            choice = f"Did you mean `{close[0]}`?" if close else f"Classes are: {', '.join(CLASSES)}."
            remedy = f"{choice} The code of an error stands beside it, on the page of a failed run."
            problems.append(places.problem((*at, "on", number), f"No error has the name `{name}`.", remedy))
    return problems


def _real_path(loc: tuple[int | str, ...], value: Any) -> Path:
    """A location without the names that pydantic adds for members of unions and for keys."""
    path: Path = ()
    for position, part in enumerate(loc):
        in_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if in_list or (isinstance(value, dict) and part in value):
            value, path = value[part], (*path, part)
        elif position == len(loc) - 1 and isinstance(value, dict) and part != "[key]":
            path = (*path, part)
    return path


def _one(each: Any, path: Path, model: type[BaseModel], base: Path, places: Places) -> Problem:
    full = (*base, *path)
    name = path[-1] if path else ""
    if each["type"] == "extra_forbidden":
        allowed = _allowed(model.model_json_schema(), each["loc"][:-1])
        close = difflib.get_close_matches(str(name), allowed, 1)
        remedy = (
            f"Did you mean `{close[0]}`?"
            if close
            else f"Keys here are: {', '.join(allowed)}."
            if allowed
            else "Remove it."
        )
        return places.problem(full, f"The key `{name}` is unknown here.", remedy)
    if each["type"] == "missing":
        return places.problem(full, f"The key `{name}` is missing.", "Add it.")
    if each["type"] == "string_pattern_mismatch":
        remedy = "Write small letters, digits and dashes (steps may use _ too), beginning with a letter."
        if each["ctx"]["pattern"] == r"^[a-z_]+$":
            remedy = "Write a class or a code of errors, such as transient or connection_timeout."
        return places.problem(full, f"{each['input']!r} cannot be used as a name.", remedy)
    if each["type"] in ("too_short", "too_long"):
        return places.problem(full, *_length(each["ctx"], name))
    message = str(each["msg"]).replace("valid tuple", "list").replace("valid dictionary", "mapping of keys")
    message = message.removeprefix("Value error, ").rstrip(".")
    sentence, _, remedy = message.partition(". ")
    return places.problem(full, f"{sentence[:1].upper()}{sentence[1:]}.", f"{remedy}." if remedy else _remedy(each))


def _length(ctx: dict[str, Any], name: str | int) -> tuple[str, str]:
    """What is wrong with the number of things in a list or a mapping, and what to do about it."""
    fewest, there = ctx.get("min_length"), ctx["actual_length"]
    if fewest is None:
        return f"`{name}` has more than {ctx['max_length']} entries.", "Take some out."
    if not there:
        return f"`{name}` is empty.", f"Write at least {'one' if fewest == 1 else fewest}."
    return f"`{name}` has {there} of at least {fewest} entries.", "Add some."


def _remedy(each: Any) -> str:
    given = each.get("input")
    return f"It is {given!r} now." if isinstance(given, str | int | float | bool) and len(str(given)) < 80 else ""


def _allowed(schema: dict[str, Any], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that a JSON Schema allows at a location; empty where it does not say."""
    candidates = [schema]
    for part in loc:
        candidates = [inner for each in _resolved(schema, candidates) for inner in _below(each, part)] or candidates
    return sorted({name for each in _resolved(schema, candidates) for name in each.get("properties", {})})


def _resolved(root: dict[str, Any], candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The schemas behind references and unions."""
    plain: list[dict[str, Any]] = []
    for each in candidates:
        if "$ref" in each:
            plain += _resolved(root, [root.get("$defs", {})[each["$ref"].rpartition("/")[2]]])
        elif "anyOf" in each or "oneOf" in each:
            plain += _resolved(root, each.get("anyOf") or each["oneOf"])
        else:
            plain.append(each)
    return plain


def _below(schema: dict[str, Any], part: int | str) -> list[dict[str, Any]]:
    if part in schema.get("properties", {}):
        return [schema["properties"][part]]
    if isinstance(part, int) and isinstance(schema.get("items"), dict):
        return [schema["items"]]
    extra = schema.get("additionalProperties")
    return [extra] if isinstance(extra, dict) and extra else []
