"""Servers that speak MySQL and are not what a source was meant for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from dataplane.connectors.databases import attaching
from dataplane.connectors.mysql import MySQL, session
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.engine import connector_instance
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from tests.rogue import Rogue, rogue


@pytest.fixture
def secret(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text("what nobody else may read\n")
    return str(file)


def params(server: Rogue) -> MySQLParams:
    return MySQLParams(
        host="127.0.0.1", port=server.port, database="d", user="u", password="sesame 7", sslmode="disable"
    )


@pytest.mark.parametrize("honest", range(1, 5))
def test_a_server_that_asks_a_session_for_a_file_gets_none(secret: str, honest: int) -> None:
    with rogue(Rogue(secret, honest)) as server:
        failed = list(MySQL(params(server)).test())[-1]
    assert server.asked == 1 and server.got == b""
    assert failed.error is not None and failed.error.code == "file_asked_for"
    assert "127.0.0.1 asked for a file of Manifold's machine" in failed.detail


@pytest.mark.parametrize("honest", [0, 2, 4])
def test_a_server_that_asks_the_reader_for_a_file_gets_none(secret: str, honest: int) -> None:
    with (
        rogue(Rogue(secret, honest)) as server,
        connector_instance(extensions=MySQL.extensions) as duck,
        suppress(duckdb.Error),
    ):
        given = {"HOST": "127.0.0.1", "PORT": server.port, "USER": "u", "SSL_MODE": "disabled"}
        attaching.attach(duck, "mysql", given)
        duck.execute("SELECT * FROM mysql_query('source', 'SELECT 1')").fetchall()
    assert server.asked >= 1 and server.got == b""


def refused(server: Rogue) -> ManifoldError:
    """How the reader is refused at this server."""
    with connector_instance(extensions=MySQL.extensions) as duck, pytest.raises(ManifoldError) as caught:
        session.attach(duck, params(server), "127.0.0.1")
    return caught.value


def test_a_reader_that_is_not_let_in_where_a_session_is_says_what_to_change() -> None:
    with rogue(Rogue(admits=b"pymysql")) as server:
        error = refused(server)
    assert isinstance(error, ConfigurationError) and error.code == "reader_not_admitted"
    assert "Client does not support the authentication protocol" in error.message
    assert "Choose another encryption" in error.message and "sesame" not in str(error.evidence)


def test_a_reader_whose_connection_breaks_both_times_is_tried_again() -> None:
    with rogue(Rogue(admits=b"pymysql", drops=True)) as server:
        error = refused(server)
    assert isinstance(error, TransientError) and error.code == "connection_lost"
    assert "sesame" not in str(error.as_json())


def test_a_server_that_lets_nobody_in_any_more_says_so_in_its_own_words() -> None:
    with rogue(Rogue(admits=b"nobody")) as server:
        error = refused(server)
    assert isinstance(error, ConfigurationError) and error.code == "authentication"


def test_a_server_that_has_gone_before_it_was_attached_is_tried_again() -> None:
    with rogue(Rogue()) as server:
        pass
    error = refused(server)
    assert isinstance(error, TransientError) and error.code == "connection_lost"


@pytest.mark.parametrize(
    "greeting",
    [b"", b"\x0a", b"\x0a\xff\xff\0", b"\x0a5.5\0half", b"\x0a8.0\0" + b"\xff" * 15],
    ids=["nothing", "its version alone", "a version that is no text", "half a greeting", "no salt"],
)
def test_a_server_that_speaks_otherwise_is_told_as_such(greeting: bytes) -> None:
    with rogue(Rogue(greeting=greeting)) as server:
        *_, failed = MySQL(params(server)).test()
    assert failed.error is not None
    assert (failed.name, failed.error.code) == ("authenticate", "connection_lost")
    assert "in another protocol than MySQL or MariaDB" in failed.error.message
