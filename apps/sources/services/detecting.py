"""What somebody has pasted: which connectors it may be for, and what it tells of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.sources.services.connectors import connector_class
from dataplane.connectors import detection
from dataplane.connectors.clues import Clue
from dataplane.connectors.detection import Candidate
from dataplane.connectors.fields import secret_names


@dataclass(frozen=True)
class Detected:
    """The candidates, the surest first. clear: the first is meant; else somebody has to choose."""

    clear: bool
    candidates: list[Candidate]


def detect(text: str = "", *, sample: bytes = b"", name: str = "") -> Detected:
    """Which connectors a text, or the first bytes of a file of this name, may be for. Asks neither network nor disk."""
    found = detection.candidates(Clue(text, sample, name))
    return Detected(detection.is_clear(found), found)


def told(connector: str, text: str, *, secrets_only: bool = False) -> dict[str, Any]:
    """What a text tells of the parameters of one connector, secrets among them: never for an answer.

    Raises InvalidFields for a connector that is not installed.
    """
    kind = connector_class(connector)
    found = detection.told(kind, Clue(text)) if text else {}
    return {name: found[name] for name in secret_names(kind.Params) if name in found} if secrets_only else found
