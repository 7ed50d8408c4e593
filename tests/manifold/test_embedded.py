"""The embedded servers, with real ones."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from manifold.embedded import account, binaries, ports, postgres, valkey
from manifold.embedded.errors import EmbeddedError
from tests.manifold.test_supervisor import living, until
from tests.ports import own_port
from tests.services import open_folder

FAST = {"fsync": "off", "max_connections": "20", "shared_buffers": "16MB"}


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that belongs to the account PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="manifold-cluster-", dir=open_folder()))
    account.give(folder, account.server_account())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Postgres]:
    with new_folder() as folder:
        owner = account.server_account()
        made = postgres.Postgres(folder / "data", binaries.postgres_bin(owner), own_port(), "owner", owner, FAST)
        made.initialise()
        yield made


@pytest.fixture
def server(cluster: postgres.Postgres) -> Iterator[subprocess.Popen[bytes]]:
    running = cluster.start(subprocess.DEVNULL)
    cluster.wait_until_ready(running)
    yield running
    postgres.stop(running)


def test_it_works(cluster: postgres.Postgres, server: subprocess.Popen[bytes]) -> None:
    url = cluster.ensure_role("app", "secret", "app")
    assert cluster.ensure_role("app", "secret", "app") == url
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, current_setting('server_encoding') FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
        assert row == (False, False, False, "UTF8")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_read_file('/etc/passwd')")


def test_a_wrong_password_is_refused(cluster: postgres.Postgres, server: subprocess.Popen[bytes]) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url(postgres.SUPERUSER, "wrong", "postgres"))


def test_secrets_that_do_not_belong_to_the_data_are_told(
    cluster: postgres.Postgres, server: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(EmbeddedError, match="Put the secrets back"):
        replace(cluster, superuser_password="another").wait_until_ready(server)


def test_it_listens_on_loopback_only(cluster: postgres.Postgres, server: subprocess.Popen[bytes]) -> None:
    listening = [each for each in psutil.Process(server.pid).net_connections() if each.status == psutil.CONN_LISTEN]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}


def test_it_never_runs_as_root(cluster: postgres.Postgres, server: subprocess.Popen[bytes]) -> None:
    assert psutil.Process(server.pid).uids().effective != 0


def test_a_server_left_over_is_found_and_stopped(cluster: postgres.Postgres, server: subprocess.Popen[bytes]) -> None:
    left = cluster.left_over()
    assert left is not None
    assert left.pid == server.pid
    postgres.stop(left)
    assert cluster.left_over() is None


def test_another_process_with_the_same_number_is_not_ours(cluster: postgres.Postgres) -> None:
    note = cluster.data / "postmaster.pid"
    note.write_text(f"{os.getpid()}\n{cluster.data}\n{int(psutil.Process().create_time())}\n{cluster.port}\n")
    try:
        assert cluster.left_over() is None
    finally:
        note.unlink()


def test_data_of_another_version_is_refused(cluster: postgres.Postgres) -> None:
    version = cluster.data / "PG_VERSION"
    ours = version.read_text()
    version.write_text("13\n")
    try:
        with pytest.raises(EmbeddedError, match=r"written by PostgreSQL 13, but .* restore a backup"):
            cluster.check_version()
    finally:
        version.write_text(ours)
    cluster.check_version()


def test_a_cluster_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    broken = postgres.Postgres(tmp_path / "data", tmp_path, 1, "x", None)
    for name in ("initdb", "postgres"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.1'\necho 'no room' >&2\n[ $# = 1 ]\n")
        program.chmod(0o755)
    with pytest.raises(EmbeddedError, match="no room"):
        broken.initialise()
    assert not broken.exists
    assert sorted(path.name for path in tmp_path.iterdir()) == ["initdb", "postgres"]


def test_valkey_asks_for_its_password_and_keeps_its_messages(tmp_path: Path) -> None:
    server = valkey.Valkey(tmp_path / "valkey", binaries.valkey_program(), own_port(), "secret")
    for expected in (None, b"kept"):
        running = server.start(subprocess.DEVNULL)
        try:
            server.wait_until_ready(running)
            once = Retry(NoBackoff(), 0)
            with redis.Redis(port=server.port, retry=once) as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            with redis.Redis.from_url(server.url) as client:
                assert client.get("message") == expected
                client.set("message", "kept")
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert "secret" not in " ".join(psutil.Process(running.pid).cmdline())
        finally:
            running.terminate()
            running.wait(60)


def test_a_taken_port_is_known_with_its_holder() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        assert str(os.getpid()) in ports.holder(port)
    assert ports.is_free(port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_server_goes_with_its_killed_parent(tmp_path: Path) -> None:
    script = (
        "import signal, subprocess, sys, time\n"
        "from manifold.embedded import lifeline\n"
        "child = subprocess.Popen(['sleep', '600'], preexec_fn=lifeline.before_exec(signal.SIGTERM))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not living([child]))
