"""The six classes of failure. The class decides whether, and when, a step is tried again; nobody matches texts.

An error carries everything a person needs: a code below its class, one sentence of what happened, the evidence (which
file, which rows, which statement) and suggestions. The same text serves the console, the API, the command and alerts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

ErrorClass = Literal["transient", "data", "configuration", "infrastructure", "lost", "bug"]


@dataclass(frozen=True)
class Suggestion:
    """Something a person may do next. `applicable` says that Manifold can do it on request."""

    id: str
    title: str
    effect: str
    applicable: bool = False


class ManifoldError(Exception):
    """A failure told in plain words. `str(error)` is the sentence that is shown."""

    error_class: ClassVar[ErrorClass] = "bug"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str,
        evidence: dict[str, Any] | None = None,
        suggestions: list[Suggestion] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.evidence = evidence or {}
        self.suggestions = suggestions or []

    def as_json(self) -> dict[str, Any]:
        """The `error` shape of the API, without `last_good_run`, which only the run engine knows."""
        return {
            "class": self.error_class,
            "code": self.code,
            "message": self.message,
            "evidence": self.evidence,
            "retryable": self.retryable,
            "suggestions": [asdict(each) for each in self.suggestions],
        }


class TransientError(ManifoldError):
    """It may work later as it stands: a network that dropped, a lock, a time-out."""

    error_class = "transient"
    retryable = True


class DataError(ManifoldError):
    """The rows or files are not as promised; trying again reads the same rows."""

    error_class = "data"


class ConfigurationError(ManifoldError):
    """Somebody has to change a setting, a document, a credential or a grant."""

    error_class = "configuration"


class InfrastructureError(ManifoldError):
    """The machine is at fault: a full disk, missing memory, an unreachable store."""

    error_class = "infrastructure"
    retryable = True


class LostError(ManifoldError):
    """The worker that ran the step died or lost its lease."""

    error_class = "lost"
    retryable = True


class BugError(ManifoldError):
    """Our own mistake. The traceback goes to the log, never to a person."""

    error_class = "bug"


class CancelledError(Exception):
    """The step was told to stop; not a failure of the step."""


def from_json(value: dict[str, Any]) -> ManifoldError:
    """The error that `as_json` has written."""
    kinds = (TransientError, DataError, ConfigurationError, InfrastructureError, LostError, BugError)
    kind = next((each for each in kinds if each.error_class == value["class"]), BugError)
    suggestions = [Suggestion(**each) for each in value["suggestions"]]
    return kind(value["message"], code=value["code"], evidence=value["evidence"], suggestions=suggestions)
