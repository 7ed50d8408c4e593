"""A source's parameters: checked by its connector's model, and parted into what is stored in clear and what is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dataplane.connectors.base import Connector
from dataplane.connectors.conditions import WAY, idle, meaning, told_ways
from dataplane.connectors.fields import fields_of, secret_names
from dataplane.errors import ConfigurationError

_WANTED = {
    **dict.fromkeys(
        ("tuple_type", "list_type"),
        'Give a list, even of one: ["first", "second"], on a command line also first,second.',
    ),
    "string_type": """Give a text. A number is one in quotes of its own: "2024", on a command line '"2024"'.""",
}


class InvalidFields(ConfigurationError):
    """What was entered is wrong; `fields` says where and what, and never repeats a value."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        where = ", ".join(sorted(fields))
        listed = [{"field": name, "message": text} for name, texts in fields.items() for text in texts]
        super().__init__(f"These fields are not valid: {where}.", code="invalid", evidence={"errors": listed})
        self.fields = dict(fields)


def checked(connector: type[Connector], params: Mapping[str, Any]) -> BaseModel:
    """The parameters as the connector understands them. Raises InvalidFields."""
    try:
        return connector.Params.model_validate(dict(params))
    except ValidationError as error:
        raise InvalidFields(_by_field(connector, error)) from None


def refuse_idle(connector: type[Connector], params: BaseModel, given: Collection[str]) -> None:
    """Raises InvalidFields for a parameter that is given now and means nothing beside the others.

    What is stored already is left alone: a source goes on as it was.
    """
    model = connector.Params
    said = {
        name: [f"It applies only where {meaning(model, name)}. Leave it out, or change that."]
        for name in idle(model, params.model_dump(mode="json"))
        if name in given
    }
    if said:
        raise InvalidFields(said)


def fitting(connector: type[Connector], params: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without what nobody gave and what means nothing beside what was given.

    given: what was said by name; the rest comes from a pasted text or a template.
    """
    model = connector.Params
    values = {each.name: each.default for each in fields_of(model)} | dict(params)
    if chosen := told_ways(model, given):
        values[WAY] = chosen[-1]
    unused = set(idle(model, values)) - set(given)
    return {name: value for name, value in params.items() if name not in unused}


def parted(connector: type[Connector], params: BaseModel) -> tuple[dict[str, Any], dict[str, str]]:
    """What may be stored in clear, and the secrets that were entered."""
    hidden = secret_names(connector.Params)
    values = params.model_dump(mode="json")
    clear = {name: value for name, value in values.items() if name not in hidden}
    secrets = {name: str(values[name]) for name in hidden if values.get(name) not in (None, "")}
    return clear, secrets


def told(error: Mapping[str, Any]) -> str:
    """What is wrong with a value, or what to write in place of one of another kind."""
    return _WANTED.get(error["type"], str(error["msg"]).removeprefix("Value error, "))


def _by_field(connector: type[Connector], error: ValidationError) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        path = ".".join(str(part) for part in each["loc"]) or "params"
        message = told(each)
        if each["type"] == "extra_forbidden":
            known = ", ".join(connector.Params.model_fields)
            message = f"{connector.title} has no such parameter; it has {known}."
        fields.setdefault(path, []).append(message)
    return fields
