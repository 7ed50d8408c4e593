"""What all tests share. The services themselves are started by `tests/services.py`."""

from __future__ import annotations

from tests.clickhouse_server import clickhouse_server  # noqa: F401  a fixture
from tests.emptied import emptied  # noqa: F401  a fixture
from tests.mariadb import module_mysql, mysql, mysql_server  # noqa: F401  fixtures
from tests.people import (  # noqa: F401  fixtures
    admin,
    api,
    operator,
    project,
    stranger,
    superuser,
    viewer,
)
