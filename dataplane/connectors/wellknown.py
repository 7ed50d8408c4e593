"""Templates of sources: what is known of well-known services, as data in `templates/`, a file each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from dataplane.errors import ConfigurationError

# What may take a place in an address: names, versions, addresses of mail, and paths of them.
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]|/(?=[A-Za-z0-9])){0,199}")


class Ask(BaseModel):
    """What only whoever adds the source knows; it takes the place of its name in braces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    example: str


class Template(BaseModel):
    """A service as a source of it begins. access: where its token comes from, in sentences."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    title: str
    connector: str
    summary: str
    documentation: str
    access: str
    asks: dict[str, Ask] = {}
    params: dict[str, Any]


@cache
def templates() -> dict[str, Template]:
    """Every template by its key, by title."""
    folder = files("dataplane.connectors") / "templates"
    read = (each for each in folder.iterdir() if each.name.endswith(".yaml"))
    found = [
        Template(key=each.name.removesuffix(".yaml"), **yaml.safe_load(each.read_text(encoding="utf-8")))
        for each in read
    ]
    return {each.key: each for each in sorted(found, key=lambda each: each.title.lower())}


def template(key: str) -> Template:
    """A template. Raises ConfigurationError for one that is not there."""
    found = templates().get(key)
    if found is None:
        raise ConfigurationError(
            f"There is no template {key!r}; choose one of {', '.join(templates())}.", code="template_unknown"
        )
    return found


def filled(chosen: Template, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a template, with what somebody says in their place. Raises as `placed` does."""
    return placed(chosen, {**chosen.params, **params})


def placed(chosen: Template, params: Mapping[str, Any]) -> dict[str, Any]:
    """These parameters, with what the template asks for, which is among them, in its places.

    Raises ConfigurationError `template_asks`, whose evidence names what is missing or cannot stand in an address.
    """
    told = {name: str(params.get(name) or "").strip() for name in chosen.asks}
    wrong = {name: text for name, text in told.items() if not _WORD.fullmatch(text)}
    if wrong:
        errors = [
            {"field": name, "message": f"Say it, such as {chosen.asks[name].example}. It stands in an address."}
            for name in wrong
        ]
        titles = " and ".join(chosen.asks[name].title for name in wrong)
        raise ConfigurationError(
            f"A source of {chosen.title} needs {titles}.", code="template_asks", evidence={"errors": errors}
        )
    return {name: _put(value, told) for name, value in params.items() if name not in chosen.asks}


def _put(value: Any, told: Mapping[str, str]) -> Any:
    if isinstance(value, list | tuple):
        return [_put(each, told) for each in value]
    if isinstance(value, str):
        for name, text in told.items():
            value = value.replace(f"{{{name}}}", text)
    return value
