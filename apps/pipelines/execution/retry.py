"""Whether and when a failed step is tried again: a value, decided from the error, the attempt and the document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dataplane.errors import ManifoldError


@dataclass(frozen=True)
class Policy:
    """`attempts` counts executions; the last of the `delays` (seconds) repeats; `on` names classes or codes."""

    attempts: int = 3
    delays: tuple[float, ...] = (10, 60, 300)
    on: tuple[str, ...] = ("transient", "infrastructure")

    @classmethod
    def of(cls, document: dict[str, Any], key: str) -> Policy:
        """The step's own policy where it has one, else the document's; what neither says keeps its default."""
        own = document.get("steps", {}).get(key, {}).get("retry")
        said = own if own is not None else document.get("retry") or {}
        return cls(
            attempts=said.get("attempts", cls.attempts),
            delays=tuple(said.get("delays", cls.delays)),
            on=tuple(said.get("on", cls.on)),
        )

    def delay(self, error: ManifoldError, attempt: int) -> float | None:
        """Seconds until the next attempt after this one has failed; None when it has failed for good."""
        if attempt >= self.attempts or not {error.error_class, error.code} & set(self.on):
            return None
        return self.delays[min(attempt, len(self.delays)) - 1]
