"""What all tests share. The services themselves are started by `tests/services.py`."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.clickhouse_server import clickhouse_server  # noqa: F401  a fixture
from tests.emptied import emptied  # noqa: F401  a fixture
from tests.mariadb import module_mysql, mysql, mysql_server  # noqa: F401  fixtures
from tests.migrated import django_db_modify_db_settings  # noqa: F401  a fixture
from tests.people import (  # noqa: F401  fixtures
    admin,
    api,
    operator,
    patient_counts,
    project,
    quick_hashes,
    stranger,
    superuser,
    viewer,
)

# How fast a machine comes by its examples is no property of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# They wait more than they work. At the end they would keep one process busy while the others have nothing left to do.
FIRST = ("tests/manifold/test_supervisor.py", "tests/faults/", "tests/manifold/test_backup.py")


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: a test waits about a third of its time for what it started."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: without it the garbage collector looks through a tenth as many objects."""
    gc.freeze()
