"""Every kind of step by name. A kind's module is imported when the kind is asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from dataplane.errors import ConfigurationError
from dataplane.steps.base import StepKind

# What a document may name, in the order in which a reader meets them.
_IN_DOCUMENTS = {
    "extract": "dataplane.steps.extract.ExtractStep",
    "check": "dataplane.steps.check.CheckStep",
    "sql": "dataplane.steps.sql.SqlStep",
    "load": "dataplane.steps.load.LoadStep",
}
# What the run engine adds by itself.
_OWN = {"plan": "dataplane.steps.plan.PlanStep"}

_registered: dict[str, type[StepKind]] = {}


def kinds() -> dict[str, type[StepKind]]:
    """The kinds that a document may name."""
    return {**{name: _imported(path) for name, path in _IN_DOCUMENTS.items()}, **_registered}


def get(kind: str) -> type[StepKind]:
    """The kind of this name. Raises ConfigurationError for a name that nobody registered."""
    if kind in _registered:
        return _registered[kind]
    path = _IN_DOCUMENTS.get(kind) or _OWN.get(kind)
    if path is None:
        raise ConfigurationError(
            f"There is no kind of step {kind!r}; a step is one of {', '.join(kinds())}.", code="step_kind"
        )
    return _imported(path)


def register(kind: type[StepKind]) -> type[StepKind]:
    """Add a kind at run time (benchmarks and tests bring their own); usable as a decorator."""
    _registered[kind.kind] = kind
    return kind


@cache
def _imported(path: str) -> type[StepKind]:
    module, _, name = path.rpartition(".")
    kind: type[StepKind] = getattr(import_module(module), name)
    return kind
