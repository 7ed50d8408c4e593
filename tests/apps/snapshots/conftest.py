"""A storage of its own for each test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.snapshots.models import Dataset
from tests.apps.snapshots.factories import make_dataset


@pytest.fixture(autouse=True)
def _storage(tmp_path: Path, settings: Any) -> None:
    settings.STORAGE_URL = f"file://{tmp_path}/storage"


@pytest.fixture
def dataset(project: Project) -> Dataset:
    return make_dataset(project)
