"""When a parameter applies, and when it is needed, as the schema of a connector's parameters says it.

A condition names other parameters and their values under which it holds; an empty list is any value. `way` is no
parameter: it is the way to sign in, of those that a model declares, which is told by what was filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic
from pydantic_core import InitErrorDetails, PydanticCustomError

Condition = Mapping[str, list[Any]]
WAY = "way"


class Stated(pydantic.BaseModel):
    """Parameters, none of them unknown, and each there where it is needed."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    elsewhere: ClassVar[frozenset[str]] = frozenset()
    """What may be said for a part of a source, so that it has a meaning where the source's own choice gives it none."""

    @pydantic.model_validator(mode="after")
    def _there(self) -> Stated:
        values = {name: getattr(self, name) for name in type(self).model_fields}
        missing = [name for name in values if lacking(type(self), name, values)]
        if missing:
            raise pydantic.ValidationError.from_exception_data(
                type(self).__name__, [_missing(type(self), name) for name in missing]
            )
        return self


def extra(model: type[pydantic.BaseModel], name: str, key: str) -> Any:
    """What the schema of a parameter says beside what every schema says; None where it says nothing."""
    said = model.model_fields[name].json_schema_extra
    return said.get(key) if isinstance(said, dict) else None


def signing_in(known: Mapping[str, str]) -> pydantic.ConfigDict:
    """The configuration of a model whose parameters are of several ways to sign in: what each is called, in order."""
    return pydantic.ConfigDict(json_schema_extra={"ways": [{"way": key, "title": each} for key, each in known.items()]})


def ways(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """The ways to sign in, by their keys, where no parameter names them."""
    said = model.model_config.get("json_schema_extra")
    known: Any = said.get("ways", []) if isinstance(said, dict) else []
    return {each["way"]: each["title"] for each in known}


def told_ways(model: type[pydantic.BaseModel], values: Mapping[str, Any]) -> list[str]:
    """The ways to sign in for which something that they need was filled in, in order.

    What may be left out tells none: such as the passphrase of a key that is not there.
    """
    filled = {
        key
        for name in model.model_fields
        if is_given(model, name, values)
        for key in (extra(model, name, "needed") or {}).get(WAY, ())
    }
    return [each for each in ways(model) if each in filled]


def way(model: type[pydantic.BaseModel], values: Mapping[str, Any]) -> str:
    """The way to sign in: the last one that something was filled in for, or the first."""
    return [*list(ways(model))[:1], *told_ways(model, values)][-1]


def is_given(model: type[pydantic.BaseModel], name: str, values: Mapping[str, Any]) -> bool:
    """Whether something else than the default is there."""
    value = values.get(name)
    return value not in (None, "", (), []) and value != model.model_fields[name].get_default()


def applies(model: type[pydantic.BaseModel], name: str, values: Mapping[str, Any]) -> bool:
    """Whether a parameter has a meaning beside these values. `way` may be among them; else they tell it."""
    return _holds(model, extra(model, name, "only") or {}, values)


def lacking(model: type[pydantic.BaseModel], name: str, values: Mapping[str, Any]) -> bool:
    """Whether a parameter is needed beside these values, and is not there."""
    wanted = extra(model, name, "needed")
    return bool(wanted) and not values.get(name) and applies(model, name, values) and _holds(model, wanted, values)


def idle(model: type[pydantic.BaseModel], values: Mapping[str, Any]) -> list[str]:
    """The parameters that were given and mean nothing beside the others."""
    elsewhere = model.elsewhere if issubclass(model, Stated) else frozenset()
    return [
        name
        for name in model.model_fields
        if name not in elsewhere and is_given(model, name, values) and not applies(model, name, values)
    ]


def meaning(model: type[pydantic.BaseModel], name: str, key: str = "only") -> str:
    """A condition of a parameter in words, such as "auth is basic"; empty where there is none."""
    return " and ".join(_said(model, *each) for each in (extra(model, name, key) or {}).items())


def _said(model: type[pydantic.BaseModel], name: str, values: list[Any]) -> str:
    if name == WAY:
        return f"one signs in with {_either([ways(model)[each] for each in values])}"
    if not values:
        return f"{name} is filled in"
    if isinstance(values[0], bool):
        return f"{name} is {'on' if values[0] else 'off'}"
    return f"{name} is {_either(values)}"


def _either(choices: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))


def _holds(model: type[pydantic.BaseModel], condition: Condition, values: Mapping[str, Any]) -> bool:
    for name, wanted in condition.items():
        if name == WAY:
            if (values.get(WAY) or way(model, values)) not in wanted:
                return False
        elif not applies(model, name, values) or (values.get(name) not in wanted if wanted else not values.get(name)):
            return False
    return True


def _missing(model: type[pydantic.BaseModel], name: str) -> InitErrorDetails:
    said = f"Fill it in: it is needed where {meaning(model, name, 'needed')}."
    mine = extra(model, name, "needed").get(WAY)
    if mine:
        others = [label for key, label in ways(model).items() if key not in mine]
        said = f"{said} Or sign in with {_either(others)}."
    return InitErrorDetails(type=PydanticCustomError("needed", said), loc=(name,), input=None)
