"""Changing one part of a document's text and leaving the rest as it was written, comments and all."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from apps.audit.refusals import Conflict
from apps.pipelines import text as texts

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9/_-]*")
_WORDS = frozenset({"true", "false", "null"})


def with_part(text: str, key: str, value: dict[str, Any] | None) -> str:
    """The text with this top-level key, written in one line, in place of the one it had; without it for None.

    Raises Conflict where the text is no YAML whose keys stand one below the other: then a person has to do it.
    """
    root = texts.compose(text)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise Conflict(
            f"The document cannot be read, so `{key}` cannot be changed in it. Mend the draft in the editor first.",
            code="draft_unreadable",
        )
    line = "" if value is None else f"{key}: {_written(value)}\n"
    found = next((pair for pair in root.value if pair[0].value == key), None)
    if found is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{line}" if line else text
    end = text.find("\n", _end(found[1]))
    rest = text[end + 1 :] if end >= 0 else ""
    return f"{text[: found[0].start_mark.index]}{line}{rest}"


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
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
