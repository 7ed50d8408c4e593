"""What each connector can do, side by side: the console's page, and docs/connectors.md, which `make docs` writes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dataplane.connectors import registry
from dataplane.connectors.base import Capabilities, Family

FAMILIES: dict[Family, str] = {"file": "files", "database": "database", "api": "API", "stream": "stream"}

_HEAD = """\
# Connectors, and what each can do

`GET /api/v1/connectors/` answers the same with the parameters of each, the console shows it at *Sources*, *Compare
connectors*, and `manifold sources connectors` lists it. How each is used stands in [sources.md](sources.md).
`make docs` writes this page.
"""


@dataclass(frozen=True)
class Capability:
    """A column of the matrix: the field of `Capabilities`, its head, and what a mark in it means."""

    name: str
    title: str
    meaning: str


@dataclass(frozen=True)
class Row:
    """A connector: `can` has an entry for each capability, in their order."""

    key: str
    title: str
    family: str
    can: tuple[bool, ...]
    tested_with: str


def capabilities() -> list[Capability]:
    """The columns."""
    return [Capability(each.name, each.metadata["title"], each.metadata["meaning"]) for each in fields(Capabilities)]


def rows() -> list[Row]:
    """The connectors that are installed, in the order of the registry."""
    names = [each.name for each in fields(Capabilities)]
    return [
        Row(
            key,
            each.title,
            FAMILIES[each.family],
            tuple(bool(getattr(each.capabilities, name)) for name in names),
            each.tested_with,
        )
        for key, each in registry.connectors().items()
    ]


def as_markdown() -> str:
    """docs/connectors.md."""
    heads = ["connector", "kind", *(each.title for each in capabilities()), "tested with"]
    lines = [_HEAD, _line(heads), "|---" * len(heads) + "|"]
    for each in rows():
        marks = ["yes" if can else "" for can in each.can]
        lines.append(_line([f"{each.title} (`{each.key}`)", each.family, *marks, each.tested_with or "nothing yet"]))
    lines += ["", *(f"- *{each.title}*: {each.meaning}." for each in capabilities())]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
