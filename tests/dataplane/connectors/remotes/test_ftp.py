"""FTP: encryption is asked for, a certificate may be pinned, and old servers are read too."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydantic import ValidationError

from dataplane.connectors import ftp as connector
from dataplane.connectors import watch
from dataplane.connectors.base import Stage
from dataplane.connectors.files.found import Found
from dataplane.connectors.registry import build
from dataplane.errors import ConfigurationError, TransientError
from tests.dataplane.connectors.remotes import ftp
from tests.dataplane.connectors.remotes.conftest import Server


def last(server: Server, **changes: object) -> Stage:
    return list(server.connector(**changes).test())[-1]


def test_a_server_without_encryption_is_refused_unless_it_is_switched_off(plain_ftp: Server) -> None:
    stage = last(plain_ftp, tls="required")
    assert stage.error is not None
    assert (stage.name, stage.error.code, stage.error.retryable) == ("connect", "encryption", False)


def test_a_certificate_that_nobody_has_signed_is_shown_and_has_to_be_named(ftps: Server) -> None:
    stage = last(ftps, certificate=None)
    assert stage.error is not None
    assert (stage.name, stage.error.code, stage.error.retryable) == ("connect", "certificate_unknown", False)
    shown = stage.error.evidence["certificate"]
    assert shown == ftps.params["certificate"].replace(":", "").lower() and "*Certificate*" in stage.error.message
    assert f"shows the certificate {shown}, which is not trusted by itself (self" in stage.error.message
    assert last(ftps, certificate=shown).ok


def test_another_certificate_than_the_confirmed_one_is_refused_before_the_password_is_sent(ftps: Server) -> None:
    stage = last(ftps, certificate="00" * 32)
    assert stage.error is not None
    assert (stage.name, stage.error.code) == ("connect", "certificate_changed")


def test_a_server_that_knows_no_mlsd_is_asked_file_by_file(folder: Path) -> None:
    with ftp.serving(folder, without=("MLSD", "MLST")) as served:
        params = {"host": "127.0.0.1", "port": served.port, "user": ftp.USER, "password": ftp.PASSWORD, "tls": "off"}
        server = Server("ftp", params, folder)
        server.write("a.csv", "id\n1\n")
        server.write("below/b.csv", "id\n1\n")
        assert [each.name for each in server.connector().discover()] == ["a"]


def test_a_server_that_hangs_up_while_it_is_asked_file_by_file_hides_no_file(folder: Path) -> None:
    with ftp.serving(folder, without=("MLSD", "MLST"), hangs_up_on="b.csv") as served:
        params = {"host": "127.0.0.1", "port": served.port, "user": ftp.USER, "password": ftp.PASSWORD, "tls": "off"}
        server = Server("ftp", params, folder)
        server.write("a.csv", "id\n1\n")
        server.write("b.csv", "id\n1\n")
        with pytest.raises(TransientError):
            server.connector().discover()


@pytest.mark.parametrize("without", [("SIZE",), ("MDTM",)])
def test_a_server_that_cannot_tell_size_and_time_is_refused_and_not_for_its_encryption(
    folder: Path, tmp_path: Path, without: tuple[str, ...]
) -> None:
    fingerprint = ftp.certificate(tmp_path / "server.pem")
    with ftp.serving(folder, tmp_path / "server.pem", without=("MLSD", "MLST", *without)) as served:
        params = {"host": "127.0.0.1", "port": served.port, "user": ftp.USER, "password": ftp.PASSWORD}
        server = Server("ftp", {**params, "certificate": fingerprint}, folder)
        server.write("a.csv", "id\n1\n")
        with pytest.raises(ConfigurationError) as caught:
            server.connector().discover()
    assert caught.value.code == "server_unsupported"


@pytest.mark.parametrize("name", ["user", "password", "path"])
def test_what_would_end_a_command_of_ftp_is_refused(name: str) -> None:
    params = {"host": "ftp.example.org", "user": "ann", "password": "x", name: "in\r\nDELE orders.csv"}
    with pytest.raises(ValidationError) as caught:
        build("ftp", params)
    assert "without line breaks" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "modified"), [("9" * 5_000, "20130101000000"), ("12", "99999999999999"), ("٣", "20130101000000.x")]
)
def test_sizes_and_times_that_are_none_count_as_nothing(size: str, modified: str) -> None:
    found = connector._entry("a.csv", {"size": size, "modify": modified})
    assert 0 in (found.size, found.changed) and Found("a.csv", "", found.size, found.changed).ref().modified


@pytest.mark.parametrize("where", ["greeting", "list", "file"])
def test_a_server_that_dribbles_is_given_up(where: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.5)
    with dribbling(where) as port:
        params = {"host": "127.0.0.1", "port": port, "user": ftp.USER, "password": ftp.PASSWORD, "tls": "off"}
        last = list(Server("ftp", params, folder).connector().test())[-1]
    assert isinstance(last.error, TransientError) and last.error.code == "connection_lost", last
    for each in threading.enumerate():
        if each.name == "watch":
            each.join(60)
            assert not each.is_alive()


@contextmanager
def dribbling(where: str) -> Iterator[int]:
    """The port of a server that sends one byte after the other instead of its greeting, a list or a file."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, where, over), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join(60)


def _serve(listening: socket.socket, where: str, over: threading.Event) -> None:
    def dribble(connection: socket.socket) -> None:
        with suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(b"A")

    with listening.accept()[0] as commands, socket.create_server(("127.0.0.1", 0)) as files:
        if where == "greeting":
            dribble(commands)
            return
        port = files.getsockname()[1]
        told = {
            "PASV": f"227 (127,0,0,1,{port >> 8},{port & 255})", "SIZE": "213 99999", "MDTM": "213 20260101000000",
            "PASS": "230 in", "USER": "331 and", "MLSD": "150 it comes", "RETR": "150 it comes",
        }  # fmt: skip
        commands.sendall(b"220 here\r\n")
        for line in commands.makefile("r"):
            command = line.split()[0]
            commands.sendall(f"{told.get(command, '200 so')}\r\n".encode())
            if command in ("MLSD", "RETR"):
                with files.accept()[0] as connection:
                    if (command == "MLSD") == (where == "list"):
                        dribble(connection)
                        return
                    connection.sendall(b"type=file;size=99999;modify=20260101000000; a.csv\r\n")
                commands.sendall(b"226 done\r\n")
