"""A column that the user may not read any more is told as such, and is not taken for one that has gone."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from dataplane import drift
from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import Column, StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.errors import ConfigurationError, ManifoldError
from tests.dataplane.connectors.databases import params_of, staged
from tests.mariadb import Database

Do = Callable[[str], object]


@pytest.fixture
def reader(postgres_url: str, superuser_url: str) -> Iterator[tuple[dict[str, Any], Do]]:
    """What a source of a role without rights is given, and its database."""
    role = f"reader_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p'")
        with psycopg.connect(postgres_url, autocommit=True) as database:
            database.execute("CREATE TABLE people (id bigint PRIMARY KEY, note text, email text)")
            database.execute("INSERT INTO people VALUES (1, 'a', 'x@example.org')")
            yield params_of(postgres_url) | {"user": role, "password": "p"}, database.execute
            database.execute(f"REVOKE ALL ON people FROM {role}")
        superuser.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("key", ["postgresql", "redshift"])
def test_of_a_server_that_tells_of_columns_that_it_withholds(reader: tuple[dict[str, Any], Do], key: str) -> None:
    params, do = reader
    grant = f'GRANT SELECT ON "public"."people" TO "{params["user"]}";'
    do(f"GRANT SELECT (id, note, email) ON people TO {params['user']}")
    source = build(key, params if key == "postgresql" else {**params, "sslmode": "disable"})
    assert source.discover()[0].warnings == ()
    walked(source, "public.people", do, f"REVOKE SELECT (email) ON people FROM {params['user']}", grant)
    do("ALTER TABLE people DROP COLUMN email")
    gone(source, "public.people")


@pytest.mark.all
def test_of_mariadb_which_hides_them(mysql: Database) -> None:
    mysql.do(
        "CREATE TABLE people (id bigint PRIMARY KEY, note text, email text)",
        "INSERT INTO people VALUES (1, 'a', 'x@example.org')",
        f"REVOKE ALL ON {mysql.name}.* FROM {mysql.name}@'127.0.0.1'",
        f"GRANT SELECT (id, note, email) ON people TO {mysql.name}@'127.0.0.1'",
    )
    source = build("mysql", mysql.params)
    revoked = f"REVOKE SELECT (email) ON people FROM {mysql.name}@'127.0.0.1'"
    grant = f"GRANT SELECT ON `{mysql.name}`.`people` TO `{mysql.name}`@`127.0.0.1`;"
    walked(source, "people", mysql.do, revoked, grant)
    mysql.do("ALTER TABLE people DROP COLUMN email")
    gone(source, "people")


def walked(source: Connector, name: str, do: Do, revoke: str, grant: str) -> None:
    """While the right is missing each way to the rows names it; when it is granted again all is as it was."""
    (info,) = source.discover()
    whole = StreamConfig(info.name, settings=info.settings, columns=info.columns, cursor="id")
    some = StreamConfig(info.name, settings=info.settings, columns=info.columns, select=("id", "note"), cursor="id")
    do(revoke)
    for look in (
        lambda: source.columns_now(whole, ()),
        lambda: source.plan(whole, "incremental", Mark()),
        lambda: staged(source, whole, Window("full")),
        lambda: source.preview(whole),
    ):
        error = refusal(look)
        assert (error.code, error.evidence["columns"], error.evidence["grant"]) == ("missing_grant", ["email"], grant)
        assert f"may not read email of {name} any more" in error.message and f"{grant[:-1]}. Or take" in error.message
    against = [each for each in source.preflight([whole]) if each.code == "missing_grant"]
    assert [each.remedy for each in against] == [grant]
    # Who does not read the column misses nothing, and sees no change.
    assert [each.code for each in source.preflight([some]) if each.code == "missing_grant"] == []
    assert drift.compared(whole.columns, source.columns_now(some, ()) or ()) == ()
    assert staged(source, some, Window("full")) == [(1, "a")]
    if source.key == "postgresql":
        (now,) = source.discover()
        assert [each.name for each in now.columns] == ["id", "note"] and "may not read email" in now.warnings[0]
    do(grant)
    assert drift.compared(whole.columns, source.columns_now(whole, ()) or ()) == ()
    assert staged(source, whole, Window("full")) == [(1, "a", "x@example.org")]


def gone(source: Connector, name: str) -> None:
    """A column that has gone is told as such."""
    (info,) = source.discover()
    seen = (*info.columns, Column("email", "VARCHAR"))
    stream = StreamConfig(name, settings=info.settings, columns=seen)
    assert [each.said for each in drift.compared(seen, source.columns_now(stream, ()) or ())] == ["email has gone"]
    assert refusal(lambda: source.plan(stream, "full_refresh", Mark())).code == "column_missing"


def refusal(look: Callable[[], object]) -> ManifoldError:
    with pytest.raises(ConfigurationError) as caught:
        look()
    return caught.value
