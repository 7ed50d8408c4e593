"""The tables of the tests are made once a run: each worker of pytest-xdist copies the database that the first made."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

_TEMPLATE = "test_migrated"
# Any number that nobody else takes on this server.
_LOCK = 20_130_101


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    request: pytest.FixtureRequest, django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: Any
) -> None:
    """Called by pytest-django before it makes a worker's database. A server that was named gets no more databases."""
    if hasattr(request.config, "workerinput") and "TEST_SUPERUSER_URL" in os.environ:
        with django_db_blocker.unblock():
            _make_template()
        connection.settings_dict["TEST"]["TEMPLATE"] = _TEMPLATE


def _make_template() -> None:
    """Migrate a database, unless another worker has or does; then wait for it."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as mine:
        mine.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        if mine.execute("SELECT FROM pg_database WHERE datname = %s", [_TEMPLATE]).fetchone() is not None:
            return
        name, test_name = connection.settings_dict["NAME"], connection.settings_dict["TEST"]["NAME"]
        connection.settings_dict["TEST"]["NAME"] = f"{_TEMPLATE}_soon"
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        # A database that somebody uses can be neither renamed nor copied.
        connection.close()
        connection.settings_dict["TEST"]["NAME"] = test_name
        settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = name
        mine.execute(f"ALTER DATABASE {_TEMPLATE}_soon RENAME TO {_TEMPLATE}")
