"""What all tests share. The services themselves are started by `tests/services.py`."""

from __future__ import annotations

from tests.mariadb import module_mysql, mysql, mysql_server  # noqa: F401  fixtures
from tests.people import (  # noqa: F401  fixtures
    admin,
    api,
    lifted_append_only,
    operator,
    project,
    stranger,
    superuser,
    viewer,
)
