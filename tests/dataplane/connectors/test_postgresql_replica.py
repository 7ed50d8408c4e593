"""Reading a replica: it gives up readers, it is behind, and several connections to it share no snapshot."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dataplane.connectors.postgresql import reading, session
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.windows import Mark, Window
from dataplane.engine import connector_instance
from dataplane.errors import TransientError
from manifold.embedded import binaries, postgres
from manifold.embedded.account import give, popen_options, server_account
from manifold.embedded.postgres import Postgres
from tests.dataplane.connectors.databases import connector, staged
from tests.ports import own_port
from tests.services import open_folder

pytestmark = pytest.mark.all
_FAST = {"fsync": "off", "autovacuum": "off"}


@contextmanager
def running(cluster: Postgres) -> Iterator[str]:
    server = cluster.start(subprocess.DEVNULL)
    try:
        cluster.wait_until_ready(server)
        yield cluster.superuser_url
    finally:
        postgres.stop(server)


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """A server and its replica, which lets no reader keep a change waiting."""
    account = server_account()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=open_folder())))
        folder.chmod(0o755)
        (folder / "own").mkdir()
        give(folder / "own", account)
        programs, password = binaries.postgres_bin(account), postgres.new_password()
        primary = Postgres(folder / "own" / "primary", programs, own_port(), password, account, _FAST)
        primary.initialise()
        url = stack.enter_context(running(primary))
        copied = folder / "own" / "replica"
        subprocess.run(
            [programs / "pg_basebackup", "-d", url, "-D", copied, "-R", "-c", "fast", "--no-sync"],
            check=True,
            capture_output=True,
            **popen_options(account),
        )
        replica = replace(primary, data=copied, port=own_port(), settings=_FAST | {"max_standby_streaming_delay": "0"})
        yield url, stack.enter_context(running(replica))


def test_a_replica_that_gives_a_reader_up(pair: tuple[str, str]) -> None:
    primary, replica = pair
    with psycopg.connect(primary, autocommit=True) as database:
        database.execute("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 300) i")
        source = connector(replica)
        _caught_up(primary, replica)

        def change() -> None:
            _reads_for_a_while(replica, over)
            database.execute("DELETE FROM t WHERE id > 100")
            while not over.wait(0.2):
                database.execute("VACUUM t")

        over, changing = threading.Event(), threading.Thread(target=change)
        changing.start()
        try:
            with pytest.raises(TransientError) as caught:
                staged(source, StreamConfig("slow", query="SELECT id, pg_sleep(1)::text AS s FROM t"), Window("full"))
        finally:
            over.set()
            changing.join()
        assert caught.value.code == "replica_conflict", caught.value.message
        assert "hot_standby_feedback" in caught.value.message and "slow" in caught.value.message
        _caught_up(primary, replica)
        assert staged(source, StreamConfig("public.t"), Window("full"), "count(*), max(id)") == [(100, 100)]


def test_on_a_replica_all_is_read_on_one_connection_as_several_would_each_see_their_own_moment(
    pair: tuple[str, str],
) -> None:
    primary, replica = pair
    with psycopg.connect(primary, autocommit=True) as database:
        database.execute("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 300) i")
    _caught_up(primary, replica)
    found = {}
    for url in pair:
        source = connector(url)
        with session.connected(source.params) as connection:
            prepared = reading.prepare(connection, source.params, StreamConfig("public.t"))
        found[url] = prepared.scannable(Window("full"))
        assert staged(source, StreamConfig("public.t"), Window("full"), "count(*), max(id)") == [(300, 300)]
    assert found == {primary: True, replica: False}


def test_a_replica_that_is_behind_what_another_server_has_planned(pair: tuple[str, str]) -> None:
    primary, replica = pair
    stream = StreamConfig("public.t", cursor="id", row_filter="id <> 310")
    with psycopg.connect(primary, autocommit=True) as one, psycopg.connect(replica, autocommit=True) as other:
        one.execute("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 300) i")
        _caught_up(primary, replica)
        other.execute("SELECT pg_wal_replay_pause()")
        one.execute("INSERT INTO t SELECT i FROM generate_series(301, 309) i")
        window = connector(primary).plan(stream, "incremental", Mark()).window
        assert window is not None
        _received(primary, replica)
        with pytest.raises(TransientError, match="does not reach id 309 yet") as caught:
            staged(connector(replica), stream, window)
        assert caught.value.code == "replica_behind"
        one.execute("UPDATE t SET id = 310 WHERE id = 309")
        other.execute("SELECT pg_wal_replay_resume()")
        _caught_up(primary, replica)
    assert staged(connector(replica), stream, window, "count(*), max(id)") == [(308, 308)]
    assert staged(connector(replica), stream, Window("slice", column="id", upper="400"), "count(*)") == [(308,)]


def test_a_replica_that_has_replayed_all_is_read_where_the_last_row_was_removed(pair: tuple[str, str]) -> None:
    primary, replica = pair
    stream = StreamConfig("public.t", cursor="id")
    with psycopg.connect(primary, autocommit=True) as one:
        one.execute("CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 300) i")
        window = connector(primary).plan(stream, "incremental", Mark()).window
        assert window is not None
        one.execute("DELETE FROM t WHERE id = 300")
    _caught_up(primary, replica)
    source = connector(replica)
    assert staged(source, stream, window, "count(*), max(id)") == [(299, 299)]
    with connector_instance(extensions=source.extensions) as duck, source.read(stream, window, duck) as reading_:
        (warning,) = reading_.warnings
    assert "is a replica without a row of public.t at id 300" in warning


def _reads_for_a_while(replica: str, over: threading.Event) -> None:
    """Until a query that sleeps has begun; whoever is given up between two statements loses the connection instead."""
    asleep = "query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND state = 'active'"
    long_since = "clock_timestamp() - query_start > interval '1 second'"
    with psycopg.connect(replica, autocommit=True) as other:
        while not other.execute(f"SELECT FROM pg_stat_activity WHERE {asleep} AND {long_since}").fetchall():
            if over.wait(0.05):
                return


def _received(primary: str, replica: str) -> None:
    """Until the replica has what it does not replay, and is late with it."""
    with psycopg.connect(primary) as one, psycopg.connect(replica, autocommit=True) as other:
        (here,) = one.execute("SELECT pg_current_wal_lsn()").fetchone() or ()
        late = "clock_timestamp() - pg_last_xact_replay_timestamp() > interval '1 second'"
        for _ in range(6000):
            (there,) = other.execute(f"SELECT pg_last_wal_receive_lsn() >= %s AND {late}", [here]).fetchone() or ()
            if there:
                return
            threading.Event().wait(0.02)
    raise AssertionError("the replica has not received it")


def _caught_up(primary: str, replica: str) -> None:
    with psycopg.connect(primary) as one, psycopg.connect(replica, autocommit=True) as other:
        (here,) = one.execute("SELECT pg_current_wal_lsn()").fetchone() or ()
        until = threading.Event()
        for _ in range(6000):
            (there,) = other.execute("SELECT pg_last_wal_replay_lsn() >= %s", [here]).fetchone() or ()
            if there:
                return
            until.wait(0.02)
    raise AssertionError("the replica does not follow")
