"""Settings come from the environment, typed, and say what is wrong with them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from manifold import environment
from manifold.database import django_database
from manifold.environment.setting import Setting, SettingError

SOURCE = Path(environment.__file__).parents[2]


def test_it_works() -> None:
    env = {
        "MANIFOLD_PORT": "9000",
        "MANIFOLD_HTTPS": "yes",
        "MANIFOLD_STEP_MEMORY": "1.5 GB",
        "MANIFOLD_NET_ALLOW": "a, b,",
    }
    assert environment.PORT.read(env) == 9000
    assert environment.HTTPS.read(env) is True
    assert environment.STEP_MEMORY.read(env) == 1536 * 2**20
    assert environment.NET_ALLOW.read(env) == ["a", "b"]


def test_an_issuer_and_its_groups() -> None:
    for address in ("https://login.example.org/realms/x", "http://127.0.0.1:8080", "http://localhost"):
        assert environment.OIDC_ISSUER.read({"MANIFOLD_OIDC_ISSUER": address}) == address
    found = environment.OIDC_GROUPS.read({"MANIFOLD_OIDC_GROUPS": "data=flights:viewer, a=b=trains:admin"})
    assert found == [("data", "flights", "viewer"), ("a=b", "trains", "admin")]


def test_an_empty_variable_means_the_default() -> None:
    assert environment.PORT.read({"MANIFOLD_PORT": ""}) == environment.PORT.default


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (environment.PORT, "0"),
        (environment.PORT, "70000"),
        (environment.PORT, "http"),
        (environment.HTTPS, "maybe"),
        (environment.WORKERS, "-1"),
        (environment.STEP_MEMORY, "lots"),
        (environment.STEP_MEMORY, "5 parsecs"),
        (environment.FILE_ROOTS, "relative/folder"),
        (environment.LOG_LEVEL, "chatty"),
        (environment.OIDC_ISSUER, "http://login.example.org"),
        (environment.OIDC_ISSUER, "login.example.org"),
        (environment.OIDC_GROUPS, "data=flights"),
        (environment.OIDC_GROUPS, "data=flights:owner"),
        (environment.OIDC_GROUPS, "=flights:viewer"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(setting: Setting[object], text: str) -> None:
    with pytest.raises(SettingError) as raised:
        setting.read({setting.name: text})
    assert setting.name in str(raised.value)
    assert text in str(raised.value)
    assert "Correct it or unset it" in str(raised.value)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from the file\n")
    assert environment.SECRET_KEY.read({"MANIFOLD_SECRET_KEY_FILE": str(file)}) == "from the file"
    both = {"MANIFOLD_SECRET_KEY_FILE": str(file), "MANIFOLD_SECRET_KEY": "from the variable"}
    assert environment.SECRET_KEY.read(both) == "from the variable"


def test_what_up_left_is_used_last(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "database_url").write_text("postgresql://kept\n")
    env = {"MANIFOLD_HOME": str(tmp_path)}
    assert environment.DATABASE_URL.read(env) == "postgresql://kept"
    assert environment.DATABASE_URL.read({**env, "DATABASE_URL": "postgresql://named"}) == "postgresql://named"
    assert not environment.DATABASE_URL.is_named(env)


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"MANIFOLD_MASTER_KEY_FILE: .*nowhere.* cannot be read"):
        environment.MASTER_KEY.read({"MANIFOLD_MASTER_KEY_FILE": str(tmp_path / "nowhere")})


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("9000")
    assert environment.PORT.read({"MANIFOLD_PORT_FILE": str(file)}) == environment.PORT.default


def test_the_storage_and_the_files_lie_in_the_home_unless_named(tmp_path: Path) -> None:
    env = {"MANIFOLD_HOME": str(tmp_path)}
    assert environment.storage_url(env) == (tmp_path / "storage").as_uri()
    assert environment.file_roots(env) == [tmp_path / "files"]
    assert environment.file_roots({**env, "MANIFOLD_FILE_ROOTS": "/a,/b"}) == [Path("/a"), Path("/b")]


def test_every_variable_the_code_reads_is_declared() -> None:
    declared = {setting.name for setting in environment.SETTINGS}
    used = set()
    for folder in ("apps", "dataplane", "manifold"):
        for file in (SOURCE / folder).rglob("*.py"):
            used |= set(re.findall(r"""environ(?:\.get\(|\[)["'](\w+)["']""", file.read_text(encoding="utf-8")))
    assert {name for name in used if name.startswith(("MANIFOLD_", "DATABASE_", "REDIS_"))} <= declared


def test_every_setting_says_what_it_is_for() -> None:
    names = [setting.name for setting in environment.SETTINGS]
    assert len(names) == len(set(names))
    assert all(len(setting.doc) > 20 and setting.doc.endswith(".") for setting in environment.SETTINGS)


def test_a_database_address_becomes_djangos() -> None:
    database = django_database("postgresql://us%40er:p%2Fw@db.example:6543/name?sslmode=require")
    assert (database["USER"], database["PASSWORD"], database["HOST"]) == ("us@er", "p/w", "db.example")
    assert (database["PORT"], database["NAME"], database["OPTIONS"]["sslmode"]) == ("6543", "name", "require")


@pytest.mark.django_db
@pytest.mark.parametrize(("pooled", "prepared"), [(False, 1), (True, 0)])
def test_behind_a_pooler_no_session_keeps_anything(pooled: bool, prepared: int) -> None:
    entry = django_database(os.environ["DATABASE_URL"], pooled=pooled)
    assert entry["DISABLE_SERVER_SIDE_CURSORS"] is pooled
    other = DatabaseWrapper({**connection.settings_dict, "OPTIONS": entry["OPTIONS"]})
    try:
        other.ensure_connection()
        with psycopg.Cursor(other.connection) as cursor:
            # As the run engine does it for what every step costs.
            cursor.execute("SELECT 1 + %s", [1], prepare=True)
            cursor.execute("SELECT count(*) FROM pg_prepared_statements", prepare=False)
            assert cursor.fetchone() == (prepared,)
    finally:
        other.close()


@pytest.mark.parametrize("url", ["mysql://a@b/c", "postgresql://host", "postgresql://host:port/name", "nonsense"])
def test_another_database_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match="postgresql://user:password@host:port/name"):
        django_database(url)


def test_every_setting_is_documented() -> None:
    assert (SOURCE / "docs" / "settings.md").read_text(encoding="utf-8") == environment.as_markdown(), "run: make docs"
