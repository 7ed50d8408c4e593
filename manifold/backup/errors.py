"""What keeps a backup from being made or restored."""

from __future__ import annotations


class BackupError(Exception):
    """The text says what is wrong and how to mend it. Nothing was changed, or what was begun has been taken back."""
