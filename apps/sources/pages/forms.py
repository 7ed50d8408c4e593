"""A form made from a schema of parameters, and back: what was entered as parameters. A secret is never filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dataplane.connectors.base import Capabilities, Connector
from dataplane.connectors.conditions import WAY, Stated, applies, extra, idle, is_given, meaning, way, ways
from dataplane.connectors.fields import SECTIONS, Field, Kind, fields_of, secret_names, way_field


@dataclass(frozen=True)
class Entry(Field):
    """A field as the form shows it; `value` is what it is filled with, `errors` what is wrong with what was entered.

    when, wanted: the conditions under which it is shown and needed, as JSON for the browser. applies: when, in words.
    idle: whether it is filled and means nothing beside the others, so that it is shown for once.
    """

    value: Any = None
    errors: tuple[str, ...] = ()
    kept: bool = False
    told: bool = False
    when: str = ""
    wanted: str = ""
    applies: str = ""
    idle: bool = False

    @property
    def wide(self) -> bool:
        """Whether it takes a row of its own: what has lines, and choices that are sentences."""
        return self.kind in ("list", "long") or self.lines or any(len(label) > 28 for _, label in self.options)


@dataclass(frozen=True)
class Shown:
    """A connector for templates, which would try to call its class."""

    key: str
    title: str
    family: str
    summary: str
    capabilities: Capabilities
    takes_uploads: bool


def shown(connector: type[Connector]) -> Shown:
    """What pages tell about a connector."""
    told = (connector.key, connector.title, connector.family, connector.summary, connector.capabilities)
    return Shown(*told, connector.takes_uploads)


def entries(
    model: type[BaseModel],
    values: Mapping[str, Any] | None = None,
    errors: Mapping[str, list[str]] | None = None,
    *,
    kept: Collection[str] = (),
    told: Collection[str] = (),
) -> list[Entry]:
    """The fields of a schema. kept: the secrets that are stored already; an empty field leaves them as they are.

    told: the secrets that are known from what was pasted, and are not filled in either.
    """
    found = []
    filled = _filled(model, values or {}, {*kept, *told})
    unused = idle(model, filled)
    for each in fields_of(model):
        value = (values or {}).get(each.name, each.default)
        stays = is_given(model, each.name, filled) and not applies(model, each.name, filled)
        here = {
            "value": _shown(value, each.kind),
            "errors": tuple(_said(errors or {}, each.name)),
            "kept": each.name in kept,
            "told": each.name in told,
            "when": "" if stays or not each.only else json.dumps(each.only),
            "wanted": json.dumps(each.needed) if each.needed else "",
            "applies": meaning(model, each.name),
            "idle": each.name in unused,
        }
        found.append(Entry(**{**vars(each), **here}))
    return found


def sections(
    model: type[BaseModel],
    values: Mapping[str, Any] | None = None,
    *,
    kept: Collection[str] = (),
    told: Collection[str] = (),
) -> list[tuple[str, list[Entry]]]:
    """The fields by their sections, with the choice of a way to sign in where no parameter is one; as `entries`."""
    found = entries(model, values, kept=kept, told=told)
    if chosen := way_field(model, _filled(model, values or {}, {*kept, *told})):
        found = [Entry(**{**vars(chosen), "value": chosen.default}), *found]
    parts = ((section, [each for each in found if each.section == section]) for section in SECTIONS)
    return [(section, fields) for section, fields in parts if fields]


def meaningless(model: type[BaseModel], data: Mapping[str, str], before: Mapping[str, Any]) -> list[str]:
    """The parameters that mean nothing beside what was chosen in a form, whether they were filled in or not.

    before: what is known already, secrets too; where no way to sign in was chosen, it is theirs.
    """
    chosen = _chosen(model, data, before)
    elsewhere = model.elsewhere if issubclass(model, Stated) else frozenset()
    return [each for each in model.model_fields if each not in elsewhere and not applies(model, each, chosen)]


def _chosen(model: type[BaseModel], data: Mapping[str, str], before: Mapping[str, Any]) -> dict[str, Any]:
    """What the conditions of secrets look at: what was entered, as if every secret were there."""
    given = entered(model, data)
    chosen = _filled(model, given, secret_names(model))
    if ways(model):
        chosen[WAY] = data.get(f"param-{WAY}", "") or way(model, {**before, **given})
    return chosen


def _outdated(model: type[BaseModel], data: Mapping[str, str], before: Mapping[str, Any]) -> set[str]:
    """What means nothing any more, because a choice that it depends on was changed."""
    was = _filled(model, before, secret_names(model))
    if ways(model):
        was[WAY] = way(model, before)
    now = _chosen(model, data, before)
    return {
        name
        for name in meaningless(model, data, before)
        if any(was.get(each) != now.get(each) for each in extra(model, name, "only") or {})
    }


def _filled(model: type[BaseModel], values: Mapping[str, Any], secrets: Collection[str]) -> dict[str, Any]:
    """The values of a form with the defaults; of secrets only that they are there."""
    defaults = {each.name: each.default for each in fields_of(model)}
    return {**defaults, **values, **dict.fromkeys(secrets, True)}


def entered(model: type[BaseModel], data: Mapping[str, str], *, between: str = "\n,") -> dict[str, Any]:
    """What a person entered, as parameters; what was left empty is left out, so that its default applies.

    between: the characters that part the items of a list.
    """
    params: dict[str, Any] = {}
    for each in fields_of(model):
        text = text_of(data, f"param-{each.name}")
        if each.kind == "flag":
            params[each.name] = text == "on"
        elif each.kind == "list":
            parts = [part.strip() for part in re.split(f"[{between}]", text)]
            params[each.name] = [part for part in parts if part]
        elif each.kind == "secret":
            if text:
                params[each.name] = text
        elif text.strip():
            params[each.name] = text.strip()
    return params


def text_of(data: Mapping[str, str], name: str) -> str:
    """What was entered into a field. A browser ends each line of a longer text with a carriage return, too."""
    return data.get(name, "").replace("\r\n", "\n")


def cleared(
    model: type[BaseModel], data: Mapping[str, str], before: Mapping[str, Any], *, shared: bool
) -> dict[str, None]:
    """The fields that were emptied in an edit: None takes a parameter out.

    Secrets left empty stay, unless somebody has asked to remove what is stored, or has chosen what leaves them without
    a meaning. before: what was stored, secrets too. shared: other sources have these secrets as well, and keep them.
    """
    over = set() if shared else _outdated(model, data, before)
    emptied = [each for each in fields_of(model) if not data.get(f"param-{each.name}", "").strip()]
    return {
        each.name: None
        for each in emptied
        if each.kind in ("text", "long", "number", "choice")
        or (each.kind == "secret" and (each.name in over or data.get(f"remove-{each.name}") == "on"))
    }


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
