"""Changing one part of a document's text and leaving the rest as it was written, comments and all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from apps.audit.refusals import Conflict
from apps.pipelines import text as texts

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9/_-]*")
_WORDS = frozenset({"true", "false", "null"})
_Pair = tuple[yaml.Node, yaml.Node]


def with_part(text: str, path: Sequence[str], value: dict[str, Any] | None) -> str:
    """The text with this key, written in one line, in place of the one it had; without it for None.

    Raises Conflict where that cannot be done so that the text says exactly this besides what it said: then a person
    has to do it.
    """
    before, _, _ = texts.read(text)
    node = texts.compose(text)
    for key in path[:-1]:
        node = next((inner for name, inner in _pairs(node) if name.value == key), None)
    changed = _changed(text, node, path[-1], value) if isinstance(node, yaml.MappingNode) and before else None
    if changed is None or texts.read(changed)[0] != _with(before, path, value):
        raise Conflict(
            f"The document cannot be read, or not so that `{'.'.join(path)}` could be changed in it. "
            "Do it in the editor.",
            code="draft_unreadable",
        )
    return changed


def _changed(text: str, node: yaml.MappingNode, key: str, value: dict[str, Any] | None) -> str | None:
    pairs = _pairs(node)
    place = next((place for place, (name, _) in enumerate(pairs) if name.value == key), None)
    if place is None and value is None:
        return text
    line = None if value is None else f"{key}: {_written(value)}"
    if not pairs:
        return None
    return _in_flow(text, pairs, place, line) if node.flow_style else _in_block(text, pairs, place, line)


def _in_flow(text: str, pairs: list[_Pair], place: int | None, line: str | None) -> str:
    """Between braces: a part is separated by a comma from those beside it."""
    if place is None:
        end = _end(pairs[-1][1])
        return f"{text[:end]}, {line}{text[end:]}"
    begin, end = pairs[place][0].start_mark.index, _end(pairs[place][1])
    if line is not None:
        return f"{text[:begin]}{line}{text[end:]}"
    if place:
        return f"{text[: _end(pairs[place - 1][1])]}{text[end:]}"
    return f"{text[:begin]}{text[pairs[1][0].start_mark.index :]}" if pairs[1:] else f"{text[:begin]}{text[end:]}"


def _in_block(text: str, pairs: list[_Pair], place: int | None, line: str | None) -> str:
    """One below the other: a part has lines of its own."""
    last = text.find("\n", _end(pairs[-1 if place is None else place][1]))
    behind = len(text) if last < 0 else last + 1
    indent = " " * pairs[0][0].start_mark.column
    written = f"{indent}{line}\n" if line is not None else ""
    if place is None:
        gap = "" if text[:behind].endswith("\n") else "\n"
        return f"{text[:behind]}{gap}{written}{text[behind:]}"
    begin = pairs[place][0].start_mark
    return f"{text[: begin.index - begin.column]}{written}{text[behind:]}"


def _pairs(node: yaml.Node | None) -> list[_Pair]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _with(said: dict[str, Any], path: Sequence[str], value: dict[str, Any] | None) -> dict[str, Any]:
    """What a text should say after the change. The parts on the way are there."""
    first, *rest = path
    if rest:
        return {**said, first: _with(said[first], rest, value)}
    return {name: each for name, each in said.items() if name != first} | ({} if value is None else {first: value})


def _end(node: yaml.Node) -> int:
    """Where a value ends. A block reaches to what follows it, comments included, so its last part is asked."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return int(node.end_mark.index) - 1
    return int(node.end_mark.index)


def _written(value: Any) -> str:
    """A value in YAML's flow style, quoted only where it has to be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
