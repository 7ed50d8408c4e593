"""With an administrator's role for migrations the application owns nothing and cannot touch the audit log."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from manifold.embedded import account, binaries, postgres
from tests.manifold.test_embedded import FAST, new_folder
from tests.ports import own_port


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    """A cluster of its own, for roles are shared by all databases of one: administrator's and application's address."""
    with new_folder() as folder:
        owner = account.server_account()
        cluster = postgres.Postgres(folder / "data", binaries.postgres_bin(owner), own_port(), "owner", owner, FAST)
        cluster.initialise()
        server = cluster.start(subprocess.DEVNULL)
        try:
            cluster.wait_until_ready(server)
            admin = cluster.ensure_role("keeper", "secret", "manifold")
            application = cluster.ensure_role("application", "secret", "other")
            with psycopg.connect(cluster.superuser_url, autocommit=True) as connection:
                connection.execute("GRANT CONNECT ON DATABASE manifold TO application")
            application = urlunsplit(urlsplit(application)._replace(path="/manifold"))
            prepare(admin, application)
            yield admin, application
        finally:
            postgres.stop(server)


def prepare(admin: str, application: str) -> None:
    env = {**os.environ, "DATABASE_ADMIN_URL": admin, "DATABASE_URL": application}
    subprocess.run([sys.executable, "manage.py", "prepare"], env=env, check=True, capture_output=True)


def test_it_works(urls: tuple[str, str]) -> None:
    admin, application = urls
    prepare(admin, application)  # once more: harmless
    with psycopg.connect(application) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert owners == [("keeper",)]
        project = uuid.uuid4()
        connection.execute(
            "INSERT INTO accounts_project (id, slug, name, created_at) VALUES (%s, 'p', 'P', now())", [project]
        )
        connection.execute("UPDATE accounts_project SET name = 'Q' WHERE id = %s", [project])
        row = connection.execute("SELECT count(*) FROM audit_event").fetchone()
        assert row is not None
        assert row[0] > 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_event",
        "UPDATE audit_event SET verb = 'nothing'",
        "TRUNCATE audit_event",
        "DROP TABLE audit_event",
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "DELETE FROM audit_seal",
        "TRUNCATE accounts_project",
    ],
)
def test_the_application_may_not(urls: tuple[str, str], statement: str) -> None:
    with psycopg.connect(urls[1]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)
