"""A document's text: YAML 1.2's plain types, read safely, with the line and column of every node.

Only what JSON can say comes out: `on` and `NO` are texts, not truth values; dates stay texts. Aliases, tags and merge
keys are refused: a document is read by people, and a few nested aliases make gigabytes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from apps.pipelines.problems import Path, Problem, path_text

LARGEST = 256 * 1024
DEEPEST = 32

_TAG = "tag:yaml.org,2002:"
_LONGEST_NUMBER = 18


class _Loader(yaml.SafeLoader):
    """PyYAML's parser without aliases and with the scalars of YAML 1.2 instead of those of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem="aliases are not part of a document", problem_mark=mark)
        return super().compose_node(parent, index)


for _name, _pattern, _first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9]+([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
]:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), list(_first))


@dataclass
class Places:
    """Where each path of a document stands: line and column, from 1."""

    at: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def problem(self, path: Path, message: str, remedy: str = "") -> Problem:
        """A problem at a path, placed at the nearest node that is really there."""
        known = path
        while known and known not in self.at:
            known = known[:-1]
        line, column = self.at.get(known, (1, 1))
        return Problem(path_text(path), line, column, message, remedy)


def read(text: str) -> tuple[Any, Places, list[Problem]]:
    """The value that a text says, where its parts stand, and what is wrong with it as YAML (then the value is None)."""
    places = Places()
    if len(text) > LARGEST:
        remedy = f"A document has at most {LARGEST // 1024} KB; move long queries into views of the database."
        return None, places, [Problem("", 1, 1, "The document is too long.", remedy)]
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        return None, places, [_syntax(error)]
    except yaml.YAMLError as error:
        return (
            None,
            places,
            [Problem("", 1, 1, f"This is no YAML: {_first_line(error)}.", "Save the file as UTF-8 text.")],
        )
    except RecursionError:
        return None, places, [Problem("", 1, 1, "The document is nested too deeply.", "Flatten it.")]
    if node is None:
        return None, places, [Problem("", 1, 1, "The document is empty.", "Begin with `manifold: 1`.")]
    reader = _Reader(places)
    value = reader.value(node, ())
    return (None if reader.problems else value), places, reader.problems


def said(text: str) -> dict[str, Any]:
    """The head of what a text says, right or not; nothing where it cannot be read."""
    value, _, _ = read(text)
    return value if isinstance(value, dict) else {}


def compose(text: str) -> yaml.Node | None:
    """The nodes of a text, with their places, for those who change a part of it; None where it is no YAML."""
    try:
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError):
        return None
    return node


class _Reader:
    """Turns YAML nodes into plain values and notes where each stood."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.places.at.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if len(path) > DEEPEST:
            return self._refuse(path, "This is nested too deeply.", "Flatten it.")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(each, (*path, position)) for position, each in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._refuse(path, f"The tag {node.tag} is not part of a document.", "Remove the tag.")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(
                    Problem(path_text(path), line, column, "A key is a plain word.", "Write `key: value`.")
                )
                continue
            key = key_node.value
            inner = (*path, key)
            if key in found:
                first = self.places.at[inner][0]
                message = f"The key `{key}` stands here twice; the first is in line {first}."
                self.problems.append(Problem(path_text(inner), line, column, message, "Keep one of them."))
                continue
            self.places.at[inner] = (line, column)
            self._check_text(key, inner)
            found[key] = self.value(value_node, inner)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text, kind = node.value, node.tag.removeprefix(_TAG)
        if kind == "str":
            self._check_text(text, path)
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and re.fullmatch(r"[-+]?[0-9]+", text):
            if len(text) > _LONGEST_NUMBER:
                return self._refuse(path, f"The number {text[:20]}… is too long.", "Write it in quotes, as a text.")
            return int(text)
        if kind == "float":
            return self._number(text, path)
        return self._refuse(path, f"The tag !!{kind} does not fit here.", "Remove the tag.")

    def _number(self, text: str, path: Path) -> Any:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            return self._refuse(path, f"The number {text[:20]} cannot be used.", "Write it in quotes, as a text.")
        return number

    def _check_text(self, text: str, path: Path) -> None:
        if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
            self._refuse(path, "The text holds a character that cannot be stored.", "Remove the escape \\0 or \\ud8….")

    def _refuse(self, path: Path, message: str, remedy: str) -> None:
        self.problems.append(self.places.problem(path, message, remedy))


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = " ".join(part for part in (error.context, error.problem) if part) or "it cannot be read"
    remedy = "Check the indentation, the quotes and the brackets just before this place."
    if "alias" in said:
        remedy = "Write the value out where it is needed."
    elif "single document" in said:
        remedy = "A file holds one document; remove the second `---`."
    return Problem("", line, column, f"This is no YAML: {said}.", remedy)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
