"""What all tests share. The services themselves are started by `tests/services.py`."""

from __future__ import annotations
