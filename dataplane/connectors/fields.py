"""The fields of a parameter schema: which are secret, and how the console's form and the docs show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pydantic

from dataplane.connectors.conditions import WAY, Condition, way, ways

Section = Literal["Where", "Sign in", "Paging", "Reading", "Limits"]
SECTIONS: tuple[Section, ...] = get_args(Section)
Kind = Literal["text", "long", "number", "flag", "choice", "list", "secret"]


@dataclass(frozen=True)
class Field:
    """One parameter. lines: a secret of several lines, such as a key in PEM, which a field of one line would join.

    only: when it applies; needed: when it has to be filled in. labels: what choices are called.
    """

    name: str
    title: str
    help: str
    kind: Kind
    required: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    lines: bool = False
    section: Section = "Where"
    only: Condition = field(default_factory=dict)
    needed: Condition = field(default_factory=dict)
    example: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> list[tuple[str, str]]:
        """The choices, each with what it is called."""
        return [(each, self.labels.get(each, each)) for each in self.choices]


def said(
    section: Section = "Where", *, only: Condition | None = None, needed: Condition | bool = False, **extra: Any
) -> dict[str, Any]:
    """What the schema of a parameter says beside what every schema says; see conditions.py. needed: when, or always
    where it applies."""
    wanted = (only or {}) if needed is True else needed or {}
    parts = {"section": section, "only": only, "needed": wanted, **extra}
    return {name: part for name, part in parts.items() if part}


def secret_field(title: str, description: str = "", *, section: Section = "Sign in", **extra: Any) -> Any:
    """A parameter that is encrypted, write-only and redacted everywhere. extra: as for `said`."""
    return pydantic.Field(
        default=None, title=title, description=description, json_schema_extra={"secret": True, **said(section, **extra)}
    )


def way_field(model: type[pydantic.BaseModel], values: Mapping[str, Any]) -> Field | None:
    """The choice among the ways to sign in that a model declares: no parameter, but what others depend on."""
    known = ways(model)
    if not known:
        return None
    shown: dict[str, Any] = {"choices": tuple(known), "labels": known, "default": way(model, values)}
    return Field(WAY, "Sign in with", "", "choice", section="Sign in", **shown)


def secret_names(model: type[pydantic.BaseModel]) -> frozenset[str]:
    """The names of a parameter model's secret fields."""
    return frozenset(
        name
        for name, each in model.model_fields.items()
        if isinstance(each.json_schema_extra, dict) and each.json_schema_extra.get("secret")
    )


def fields_of(model: type[pydantic.BaseModel]) -> list[Field]:
    """The parameters of a model, in its order."""
    schema = model.model_json_schema()
    secrets = secret_names(model)
    found = []
    for name, part in schema.get("properties", {}).items():
        kind: Kind = "secret" if name in secrets else _kind(part, schema)
        found.append(
            Field(
                name=name,
                title=part.get("title", name),
                help=part.get("description", ""),
                kind=kind,
                required=name in schema.get("required", []),
                choices=_choices(part, schema),
                default=part.get("default"),
                lines=kind == "secret" and bool(part.get("multiline")),
                section=part.get("section", "Where"),
                only=part.get("only", {}),
                needed=part.get("needed", {}),
                example=str(next(iter(part.get("examples", ())), "")),
                labels=part.get("labels", {}),
            )
        )
    return found


def _kind(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Kind:
    shape = _plain(part, schema)
    if "enum" in shape:
        return "choice"
    if part.get("multiline"):
        return "long"
    kinds: dict[str, Kind] = {"integer": "number", "number": "number", "boolean": "flag", "array": "list"}
    return kinds.get(str(shape.get("type")), "text")


def _choices(part: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(each) for each in _plain(part, schema).get("enum", ()))


def _plain(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part behind a reference, or behind "this or null"."""
    if "$ref" in part:
        return _plain(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    for each in part.get("anyOf", ()):
        if each.get("type") != "null":
            return _plain(each, schema)
    return part
