"""The fields of a parameter schema: which are secret, and how the console's form and the docs show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

Kind = Literal["text", "long", "number", "flag", "choice", "list", "secret"]


@dataclass(frozen=True)
class Field:
    """One parameter. lines: a secret of several lines, such as a key in PEM, which a field of one line would join."""

    name: str
    title: str
    help: str
    kind: Kind
    required: bool
    choices: tuple[str, ...]
    default: Any
    lines: bool


def secret_field(title: str, description: str = "", **extra: Any) -> Any:
    """A parameter that is encrypted, write-only and redacted everywhere."""
    return pydantic.Field(
        default=None, title=title, description=description, json_schema_extra={"secret": True, **extra}
    )


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
