"""What each connector can do, side by side: the console's page, and docs/connectors.md, which `make docs` writes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dataplane.connectors import registry
from dataplane.connectors.base import Capabilities, Connector, Family
from dataplane.connectors.conditions import meaning
from dataplane.connectors.fields import Field, fields_of

FAMILIES: dict[Family, str] = {"file": "files", "database": "database", "api": "API", "stream": "stream"}

_HEAD = """\
# Connectors, and what each can do

`GET /api/v1/connectors/` answers the same with the parameters of each, the console shows it at *Sources*, *Compare
connectors*, and `manifold sources connectors` lists it. How each is used stands in [sources.md](sources.md).
`make docs` writes this page.
"""
_PARAMETERS = """
## Parameters

What a source of each kind is given: in the console's form, as `params` over the API, and with `--set NAME=VALUE` or
`--secret NAME` of `manifold sources add`. A *secret* is encrypted when it is stored, and never shown again.\
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
    lines += ["", *(f"- *{each.title}*: {each.meaning}." for each in capabilities()), _PARAMETERS]
    lines += [line for each in registry.connectors().values() for line in _parameters(each)]
    return "\n".join(lines) + "\n"


def _parameters(kind: type[Connector]) -> list[str]:
    head = ["", f"### {kind.title}", "", kind.summary]
    rows = [_line([f"`{each.name}`", _meaning(kind, each), _given(kind, each)]) for each in fields_of(kind.Params)]
    return [*head, "", _line(["parameter", "what it is", "default"]), "|---" * 3 + "|", *rows] if rows else head


def _meaning(kind: type[Connector], field: Field) -> str:
    told = f"{field.title}. {field.help}".strip() if field.help else field.title
    when = meaning(kind.Params, field.name)
    return (f"{told.rstrip('.')}. Only where {when}." if when else told).replace("|", "\\|").replace("\n", " ")


def _given(kind: type[Connector], field: Field) -> str:
    needed = meaning(kind.Params, field.name, "needed")
    if needed:
        needed = "; required there" if field.needed == field.only else f"; required where {needed}"
    if field.kind == "secret":
        return f"secret{needed}"
    chosen = f"; one of {', '.join(f'`{each}`' for each in field.choices)}" if field.choices else ""
    if field.required:
        return f"required{chosen}"
    if field.kind == "flag":
        return "yes" if field.default else "no"
    return (f"`{field.default}`" if field.default not in (None, "", [], ()) else "none") + chosen + needed


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
