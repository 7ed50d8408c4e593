"""What a service says when it will not do what it was asked; the API answers 409, 400 and 429, in their order."""

from __future__ import annotations

from dataplane.errors import ConfigurationError, TransientError


class Conflict(ConfigurationError):
    """It does not fit the state that things are in. The sentence says what to do instead."""


class Invalid(ConfigurationError):
    """One field is not as it has to be. The sentence names the remedy."""

    def __init__(self, field: str, message: str, *, code: str = "invalid") -> None:
        super().__init__(f"{field}: {message}", code=code, evidence={"errors": [{"field": field, "message": message}]})
        self.field = field


class Busy(TransientError):
    """So much is being done already that this has to wait its turn. The sentence says for what."""
