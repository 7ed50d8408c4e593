"""What goes wrong with the embedded servers."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded server cannot be found, made or started. The text says what happened and how to mend it."""
