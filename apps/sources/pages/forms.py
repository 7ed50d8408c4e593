"""A form made from a connector's parameters, and back: what was entered as parameters. A secret is never filled in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.http import QueryDict

from dataplane.connectors.base import Capabilities, Connector, secret_names

Kind = Literal["text", "long", "number", "flag", "choice", "list", "secret"]


@dataclass(frozen=True)
class Entry:
    """One field of the form; `value` is what it is filled with, `errors` what is wrong with what was entered.

    lines: a secret of several lines, such as a key in PEM, which a field of one line would join.
    """

    name: str
    title: str
    help: str
    kind: Kind
    required: bool
    choices: tuple[str, ...]
    value: Any
    errors: tuple[str, ...]
    kept: bool = False
    told: bool = False
    lines: bool = False


@dataclass(frozen=True)
class Shown:
    """A connector for templates, which would try to call its class."""

    key: str
    title: str
    family: str
    summary: str
    capabilities: Capabilities


def shown(connector: type[Connector]) -> Shown:
    """What pages tell about a connector."""
    return Shown(connector.key, connector.title, connector.family, connector.summary, connector.capabilities)


def entries(
    connector: type[Connector],
    values: Mapping[str, Any] | None = None,
    errors: Mapping[str, list[str]] | None = None,
    *,
    kept: bool = False,
    told: Collection[str] = (),
) -> list[Entry]:
    """The fields of a connector. `kept`: a secret is stored already, and an empty field leaves it as it is.

    told: the secrets that are known from what was pasted, and are not filled in either.
    """
    schema = connector.Params.model_json_schema()
    secrets = secret_names(connector.Params)
    found = []
    for name, part in schema.get("properties", {}).items():
        value = (values or {}).get(name, part.get("default"))
        kind = "secret" if name in secrets else _kind(part, schema)
        found.append(
            Entry(
                name=name,
                title=part.get("title", name),
                help=part.get("description", ""),
                kind=kind,
                required=name in schema.get("required", []),
                choices=_choices(part, schema),
                value=_shown(value, kind),
                errors=tuple(_said((errors or {}), name)),
                kept=kept,
                told=name in told,
                lines=kind == "secret" and bool(part.get("multiline")),
            )
        )
    return found


def entered(connector: type[Connector], data: QueryDict) -> dict[str, Any]:
    """What a person entered, as parameters; what was left empty is left out, so that its default applies."""
    params: dict[str, Any] = {}
    for each in entries(connector):
        # A browser ends each line of a longer text with a carriage return, too.
        text = data.get(f"param-{each.name}", "").replace("\r\n", "\n")
        if each.kind == "flag":
            params[each.name] = text == "on"
        elif each.kind == "list":
            parts = [part.strip() for part in re.split(r"[\n,]", text)]
            params[each.name] = [part for part in parts if part]
        elif each.kind == "secret":
            if text:
                params[each.name] = text
        elif text.strip():
            params[each.name] = text.strip()
    return params


def cleared(connector: type[Connector], data: QueryDict) -> dict[str, None]:
    """The fields that were emptied in an edit: None takes a parameter out. Secrets left empty stay."""
    return {
        each.name: None
        for each in entries(connector)
        if each.kind in ("text", "long", "number", "choice") and not data.get(f"param-{each.name}", "").strip()
    }


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


def _shown(value: Any, kind: Kind) -> Any:
    if kind == "secret":
        return ""
    if kind == "list":
        return "\n".join(map(str, value or ()))
    return "" if value is None else value


def _said(errors: Mapping[str, list[str]], name: str) -> list[str]:
    """What was said about a field or a part of it, without pydantic's preamble."""
    said = [text for path, texts in errors.items() if path.partition(".")[0] == name for text in texts]
    return [text.removeprefix("Value error, ") for text in said]
