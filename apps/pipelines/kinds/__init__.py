"""What each kind of step reads before its work and commits after it; see `execution/kinds.py`."""

from __future__ import annotations


def register() -> None:
    """Make every kind known to the run engine. Harmless when repeated."""
