"""Which connectors a clue fits: each is asked, and the candidates are ranked by how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from dataplane.connectors import registry
from dataplane.connectors.base import Connector
from dataplane.connectors.clues import Clue
from dataplane.connectors.fields import secret_names

_SURE, _AHEAD = 0.6, 0.15


@dataclass(frozen=True)
class Candidate:
    """A connector that may be meant. params hold nothing secret; `secrets` are told by name to nobody but a service.

    missing: parameters that have to be given, and are not told by the clue. title: what the source might be called.
    """

    connector: str
    confidence: float
    reasons: tuple[str, ...]
    params: dict[str, Any] = field(repr=False)
    secrets: dict[str, Any] = field(repr=False)
    missing: tuple[str, ...]
    title: str


def candidates(clue: Clue) -> list[Candidate]:
    """Every connector that may be meant, the surest first."""
    asked = [(kind, kind.recognise(clue)) for kind in registry.connectors().values()]
    found = [
        _candidate(kind, guess.confidence, guess.reasons, guess.params, guess.title) for kind, guess in asked if guess
    ]
    return sorted(found, key=lambda each: -each.confidence)


def is_clear(found: Sequence[Candidate]) -> bool:
    """Whether the first is meant; else somebody has to choose."""
    if not found or found[0].confidence < _SURE:
        return False
    return len(found) == 1 or found[0].confidence - found[1].confidence >= _AHEAD


def told(kind: type[Connector], clue: Clue) -> dict[str, Any]:
    """What a clue tells of one connector's parameters, secrets among them."""
    guess = kind.recognise(clue)
    return _fitting(kind, guess.params) if guess else {}


def _candidate(
    kind: type[Connector], confidence: float, reasons: tuple[str, ...], params: dict[str, Any], title: str
) -> Candidate:
    fitting = _fitting(kind, params)
    hidden = secret_names(kind.Params)
    required = [name for name, each in kind.Params.model_fields.items() if each.is_required()]
    return Candidate(
        connector=kind.key,
        confidence=round(min(1.0, max(0.0, confidence)), 2),
        reasons=tuple(each for each in reasons if each),
        params={name: value for name, value in fitting.items() if name not in hidden},
        secrets={name: value for name, value in fitting.items() if name in hidden},
        missing=tuple(name for name in required if name not in fitting),
        title=title,
    )


def _fitting(kind: type[Connector], params: dict[str, Any]) -> dict[str, Any]:
    """The parameters without those that the connector would refuse."""
    try:
        kind.Params.model_validate(params)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors(include_input=False) if each["loc"]}
        return {name: value for name, value in params.items() if name not in wrong}
    return dict(params)
