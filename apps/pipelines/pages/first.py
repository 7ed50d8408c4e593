"""The first document of a new pipeline: extract, check, load, named after one of the project's streams."""

from __future__ import annotations

import re
from collections.abc import Collection

import yaml

from apps.sources.models import Stream
from dataplane.connectors import registry
from dataplane.names import slug_of

_EXAMPLE = """\
# No source is set up yet: add one under Sources, then name it here.
manifold: 1
pipeline: first
title: My first pipeline
steps:
  rows: {extract: {source: my-source, stream: my-stream, mode: full_refresh}}
  kept: {load: {input: rows, dataset: first, mode: replace}}
"""


def first_document(stream: Stream | None, taken: Collection[str]) -> str:
    """A document that is valid as it stands and does something useful; `taken` are the names of pipelines there are."""
    if stream is None:
        return _EXAMPLE
    name = _name(stream.name)
    slug = _free(name, taken)
    connector = registry.get(stream.source.connector)
    incremental = connector.capabilities.incremental and (
        not connector.needs_cursor() or bool(stream.config.get("cursor"))
    )
    mode, keep = ("incremental", "append") if incremental else ("full_refresh", "replace")
    keys = _key_columns(stream)
    lines = [
        "manifold: 1",
        f"pipeline: {slug}",
        f"title: {slug.replace('-', ' ').capitalize()}",
        "steps:",
        f"  {name}: {{extract: {{source: {stream.source.slug}, stream: {_quoted(stream.name)}, mode: {mode}}}}}",
        "  sound:",
        "    check:",
        f"      input: {name}",
        "      rules:",
        "        - {row_count: {min: 1}, action: stop}",
    ]
    if keys:
        lines.append(f"        - {{not_null: [{', '.join(map(_quoted, keys))}], action: warn}}")
    lines.append(f"  kept: {{load: {{input: sound, dataset: {slug}, mode: {keep}}}}}")
    return "\n".join(lines) + "\n"


def _name(stream: str) -> str:
    """A stream's name as the id of a step: the table without its schema, in letters, digits and dashes."""
    plain = slug_of(stream.rpartition(".")[2], 40)
    return plain if re.match(r"[a-z]", plain) else f"rows-{plain}"[:40].strip("-")


def _free(name: str, taken: Collection[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _key_columns(stream: Stream) -> list[str]:
    """The cursor and the first column: what is most likely never NULL."""
    columns = [each["name"] for each in stream.config.get("columns") or []]
    cursor = stream.config.get("cursor")
    wanted = [*columns[:1], *([cursor] if cursor else [])]
    return list(dict.fromkeys(wanted))


def _quoted(text: str) -> str:
    """A text as YAML in flow style reads it back."""
    return yaml.safe_dump([text], default_flow_style=True, width=10_000).strip()[1:-1]
