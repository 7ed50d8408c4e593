"""`manifold doctor` works without a server and says how to mend what is wrong."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from django.db import connection

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.services import credentials
from manifold import probes, sealed
from manifold.cli import main
from manifold.cli.doctor import leftovers
from manifold.supervisor import home as homes
from manifold.supervisor.home import Home
from tests.apps.accounts.provider import Provider
from tests.ports import own_port


def doctor(home: Path, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["doctor", "--home", str(home), *arguments], env=env)


def test_it_works(tmp_path: Path) -> None:
    result = doctor(tmp_path / "home", "--json", MANIFOLD_PORT=str(own_port()))
    answer = json.loads(result.output)
    assert (result.exit_code, answer["healthy"]) == (0, True)
    found = {each["name"] for each in answer["components"]}
    asked = "python home port disk memory storage keys permissions files leftovers database broker clock sealed"
    assert found == set(asked.split())
    assert not (tmp_path / "home").exists()


def test_before_the_first_start_the_embedded_programs_are_enough(tmp_path: Path) -> None:
    result = doctor(tmp_path / "home", "--json", DATABASE_URL="", REDIS_URL="", MANIFOLD_PORT=str(own_port()))
    assert result.exit_code == 0
    details = {each["name"]: each["detail"] for each in json.loads(result.output)["components"]}
    assert "embedded" in details["database"]
    assert "embedded" in details["broker"]


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = doctor(tmp_path / "home", MANIFOLD_PORT=str(port))
    assert result.exit_code == 3
    assert f"Port {port} of 127.0.0.1 is taken" in result.output
    assert f"manifold up --port {port + 1}" in result.output


def test_services_that_do_not_answer(tmp_path: Path) -> None:
    dead = own_port()
    result = doctor(
        tmp_path / "home",
        DATABASE_URL=f"postgresql://me:canary@127.0.0.1:{dead}/x",
        REDIS_URL=f"redis://:canary@127.0.0.1:{dead}/0",
        MANIFOLD_PORT=str(own_port()),
    )
    assert result.exit_code == 3
    assert f"PostgreSQL at 127.0.0.1:{dead} does not let us in: Connection refused" in result.output
    assert f"Redis at 127.0.0.1:{dead} does not answer" in result.output
    assert "canary" not in result.output


def test_a_storage_that_it_makes_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANIFOLD_STORAGE_URL", (tmp_path / "storage").as_uri())
    assert probes.ask("storage", probes.storage).up
    assert (tmp_path / "storage").stat().st_mode & 0o077 == 0


def test_a_storage_nobody_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MANIFOLD_STORAGE_URL", (tmp_path / "file" / "storage").as_uri())
    finding = probes.ask("storage", probes.storage)
    assert not finding.up
    assert "cannot be written: Not a directory" in finding.detail
    assert "MANIFOLD_STORAGE_URL" in finding.remedy


@pytest.mark.parametrize("key", ["", "short", base64.b64encode(b"x" * 31).decode(), "1:not base64!"])
def test_a_broken_master_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("MANIFOLD_MASTER_KEY", key)
    finding = probes.ask("keys", probes.keys)
    assert not finding.up
    assert "MANIFOLD_MASTER_KEY" in finding.detail + finding.remedy


def test_several_versions_of_a_master_key_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(b"x" * 32).decode()
    monkeypatch.setenv("MANIFOLD_MASTER_KEY", f"2:{key},1:{key}")
    assert probes.ask("keys", probes.keys).up


@pytest.mark.django_db(transaction=True)
def test_a_master_key_that_opens_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is the tests' own, as Django has it: what is sealed there was sealed with their key."""
    host, port = connection.settings_dict["HOST"], connection.settings_dict["PORT"]
    user, password = connection.settings_dict["USER"], connection.settings_dict["PASSWORD"]
    place = f"postgresql://{user}:{password}@{host}:{port}/{connection.settings_dict['NAME']}"
    monkeypatch.setenv("DATABASE_URL", place)
    services.create_credential(project, slug="db", connector="postgresql", secrets={"password": "canary"}, actor=SYSTEM)
    well = probes.ask("sealed", sealed.opens)
    assert well.up, well.detail
    key = base64.b64encode(b"x" * 32).decode()
    for text in (key, f"2:{key}", ""):
        monkeypatch.setenv("MANIFOLD_MASTER_KEY", text)
        finding = probes.ask("sealed", sealed.opens)
        assert (finding.up, "sources_credential" in finding.detail or not text) == (False, True), finding
        assert "MANIFOLD_MASTER_KEY" in finding.detail + finding.remedy
        assert "canary" not in finding.detail


def test_whatever_is_sealed_is_looked_at() -> None:
    assert {each._meta.db_table for each in credentials._SEALED} == set(sealed.TABLES)


@pytest.mark.all
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root: run `make test-all` as root")
def test_a_full_disk(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True)
    try:
        url = (place / "storage").as_uri()
        result = doctor(tmp_path / "home", MANIFOLD_STORAGE_URL=url, MANIFOLD_PORT=str(own_port()))
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert result.exit_code == 3
    assert f"1.0 MB are free below {place}" in result.output and "Free some: at least 2.0 GB" in result.output


def test_a_clock_that_is_off(tmp_path: Path, postgres_url: str) -> None:
    """The database's clock is ahead: its role finds a clock of its own before that of the system."""
    with psycopg.connect(postgres_url, autocommit=True) as database:
        database.execute("CREATE SCHEMA ahead")
        database.execute(
            "CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            "AS $$SELECT pg_catalog.clock_timestamp() + interval '1 hour'$$"
        )
    ahead = f"{postgres_url}?options=-csearch_path%3Dahead,pg_catalog"
    result = doctor(tmp_path / "home", DATABASE_URL=ahead, MANIFOLD_PORT=str(own_port()))
    assert result.exit_code == 3
    said = re.search(r"clock differs from the database's by ([0-9.]+) s", result.output)
    assert said is not None and abs(float(said.group(1)) - 3600) < 60
    assert "timedatectl" in result.output


def test_an_issuer_that_answers_that_is_another_and_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Provider().serving() as provider:
        monkeypatch.setenv("MANIFOLD_OIDC_ISSUER", provider.url)
        named = doctor(tmp_path / "home", "--json", MANIFOLD_PORT=str(own_port()))
        assert {each["name"]: each["up"] for each in json.loads(named.output)["components"]}["issuer"]
        monkeypatch.setenv("MANIFOLD_OIDC_EMAIL_CLAIM", "upn")
        unverified = probes.ask("issuer", probes.issuer)
        assert (unverified.up, "claim upn is verified" in unverified.detail) == (False, True)
        monkeypatch.setenv("MANIFOLD_OIDC_EMAIL_VERIFIED_CLAIM", "xms_edov")
        assert probes.ask("issuer", probes.issuer).up
        provider.document = {"issuer": "https://other.example"}
        another = probes.ask("issuer", probes.issuer)
        assert (another.up, "calls itself https://other.example" in another.detail) == (False, True)
    silent = probes.ask("issuer", probes.issuer)
    assert (silent.up, "MANIFOLD_OIDC_ISSUER" in silent.remedy) == (False, True)


def test_a_bad_setting_is_a_finding_not_a_traceback(tmp_path: Path) -> None:
    result = doctor(tmp_path / "home", MANIFOLD_PORT="many")
    assert result.exit_code == 3
    assert "MANIFOLD_PORT: 'many' is not a port" in result.output
    result = doctor(tmp_path / "home", MANIFOLD_PORT=str(own_port()), MANIFOLD_FILE_ROOTS="relative/folder")
    assert (result.exit_code, "MANIFOLD_FILE_ROOTS: 'relative/folder'" in result.output) == (3, True), result.output


def finding(result: Result, name: str) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads(result.output)["components"]
    return next(each for each in found if each["name"] == name)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A data folder as `up` leaves it."""
    home = Home(tmp_path / "home")
    home.path.mkdir()
    for name in ("master_key", "secret_key"):
        home.secret(name)
    for name in ("storage", "logs", "files"):
        home.folder(name)
    return home.path


def test_a_home_that_up_has_made_is_well(made: Path) -> None:
    result = doctor(made, MANIFOLD_PORT=str(own_port()))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("place", ["secrets", "secrets/master_key", "logs", "storage"])
def test_what_other_accounts_may_read(made: Path, place: str) -> None:
    (made / place).chmod(0o755)
    result = doctor(made, "--json", MANIFOLD_PORT=str(own_port()))
    assert result.exit_code == 3
    told = finding(result, "permissions")
    assert told["detail"] == f"Other accounts may read {made / place}."
    assert str(told["remedy"]).startswith("chmod -R go= ")


def test_a_key_that_was_damaged(made: Path) -> None:
    (made / "secrets" / "master_key").write_text("half a k")
    env = {"MANIFOLD_MASTER_KEY": "", "MANIFOLD_SECRET_KEY": "", "MANIFOLD_PORT": str(own_port())}
    result = doctor(made, "--json", **env)
    assert result.exit_code == 3
    told = finding(result, "keys")
    assert "MANIFOLD_MASTER_KEY is not 32 bytes" in str(told["detail"])
    assert "Put back the key" in str(told["remedy"])


def test_a_key_that_is_gone(made: Path) -> None:
    (made / "secrets" / "secret_key").unlink()
    env = {"MANIFOLD_MASTER_KEY": "", "MANIFOLD_SECRET_KEY": "", "MANIFOLD_PORT": str(own_port())}
    assert "signs sessions is missing" in str(finding(doctor(made, "--json", **env), "keys")["detail"])


def test_a_folder_of_files_that_is_not_there(made: Path, tmp_path: Path) -> None:
    env = {"MANIFOLD_FILE_ROOTS": str(tmp_path / "nowhere"), "MANIFOLD_PORT": str(own_port())}
    result = doctor(made, "--json", **env)
    assert result.exit_code == 3
    assert "nowhere cannot be read" in str(finding(result, "files")["detail"])


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = doctor(tmp_path / "file" / "home", "--json", MANIFOLD_PORT=str(own_port()))
    assert result.exit_code == 3
    assert not finding(result, "home")["up"]
    assert "--home" in str(finding(result, "home")["remedy"])


def test_a_home_out_of_sight(tmp_path: Path) -> None:
    env = {"MANIFOLD_PORT": str(own_port())}
    doctor(tmp_path / "home", **env)  # Imports what it needs, which another account may not be allowed to.
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(0)
    with no_root():
        result = doctor(tmp_path / "closed" / "home", "--json", **env)
    assert result.exit_code == 3
    assert "cannot be written" in str(finding(result, "home")["detail"])
    assert "may not look at" in str(finding(result, "permissions")["detail"])


@contextmanager
def no_root() -> Iterator[None]:
    """As another account, where the tests run as root, who may look everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_storage_that_is_a_file(made: Path) -> None:
    (made / "blocked").touch()
    env = {"MANIFOLD_STORAGE_URL": (made / "blocked").as_uri(), "MANIFOLD_PORT": str(own_port())}
    result = doctor(made.parent / "other", "--json", **env)
    assert result.exit_code == 0, "before the first start nothing is written"
    env["MANIFOLD_STORAGE_URL"] = (made / "blocked" / "below").as_uri()
    assert not finding(doctor(made, "--json", **env), "storage")["up"]


def test_however_a_data_folder_is_named_it_has_one_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "SHARED", tmp_path / "shared")
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    names = [tmp_path / "home", tmp_path / "link", tmp_path / "link" / ".." / "home"]
    assert len({Home(each).postgres_data(as_root=True) for each in names}) == 1
    for number, name in enumerate(("first", "last")):
        (tmp_path / "shared" / name).mkdir(parents=True)
        (tmp_path / "shared" / name / "home").write_text(f"{names[number + 1]}\n")
        os.utime(tmp_path / "shared" / name / "home", (number, number))
    assert {Home(each).postgres_data(as_root=True) for each in names} == {tmp_path / "shared" / "last" / "postgres"}
    Home(tmp_path / "other").path.mkdir()
    assert Home(tmp_path / "other").postgres_data(as_root=True).parent.name not in ("first", "last")


def test_databases_of_data_folders_that_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "SHARED", tmp_path / "shared")
    assert leftovers() == "none"
    for name in ("kept", "gone"):
        home = Home(tmp_path / name)
        home.path.mkdir()
        home.postgres_data(as_root=True).parent.mkdir(parents=True)
        home.sign_shared()
    assert leftovers() == "none"
    os.rmdir(tmp_path / "gone")
    assert f"rm -r {Home(tmp_path / 'gone').postgres_data(as_root=True).parent}" in leftovers()
    assert str(Home(tmp_path / "kept").postgres_data(as_root=True).parent) not in leftovers()
    (tmp_path / "shared").chmod(0o555)
    with no_root():
        assert leftovers() == "none", "only root can remove them"
    (tmp_path / "shared").chmod(0o755)
