"""Real transactions, a storage of its own for each test, and no broker: nobody would take the messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.pipelines.execution import dispatch
from tests.apps.pipelines.broker import broker, key  # noqa: F401  fixtures
from tests.apps.pipelines.shelf import pipeline  # noqa: F401  a fixture
from tests.furnished import furnished  # noqa: F401  a fixture


@pytest.fixture
def workshop(transactional_db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a test may put drop folders; file sources may read it."""
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.MANIFOLD_HOME = tmp_path / "home"
    settings.FILE_ROOTS = [tmp_path / "drop"]
    (tmp_path / "drop").mkdir()
    monkeypatch.setattr(dispatch, "send", lambda ready: bool(list(ready)) or True)
    return tmp_path / "drop"
