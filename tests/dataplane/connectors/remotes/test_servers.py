"""What holds for every kind of file server: the same files as in a folder, none by half, errors with a remedy."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataplane.connectors.files import remote
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.ftp import FtpSession
from dataplane.connectors.schema import StreamConfig
from dataplane.connectors.sftp import SftpSession
from dataplane.connectors.windows import Mark
from dataplane.errors import DataError, TransientError
from tests.dataplane.connectors.remotes.conftest import Server
from tests.dataplane.steps.files_source import extracted, rows

STAGES = ["resolve", "connect", "authenticate", "list", "read"]


def days(server: Server, *numbers: int) -> None:
    for number in numbers:
        server.write(f"in/flights_2013-01-{number:02d}.csv", f"id,day\n{number},2013-01-{number:02d}\n")


def test_it_works(server: Server, tmp_path: Path) -> None:
    days(server, 2, 1)
    server.write("in/.hidden.csv", "id\n9\n")
    server.write("notes.docx", "no data")
    stages = list(server.connector().test())
    assert [(each.name, each.ok) for each in stages] == [(name, True) for name in STAGES], stages[-1]
    stream = server.stream()
    assert stream.settings["pattern"] == ["in/flights_{YYYY}-{MM}-{DD}.csv"]
    connector = server.connector()
    assert connector.preview(stream, 1).num_rows == 1
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    assert [row[0] for row in rows(tmp_path, extracted(tmp_path, connector, stream, window))] == [1, 2]
    nothing = connector.plan(stream, "incremental", Mark(files=window.files))
    assert nothing.window is None and not nothing.warnings
    days(server, 3)
    new = connector.plan(stream, "incremental", Mark(files=window.files)).window
    assert new is not None
    assert [each.path for each in new.files] == ["in/flights_2013-01-03.csv"]


def test_columns_that_are_new_are_seen_before_a_file_is_read(server: Server) -> None:
    days(server, 1)
    stream, connector = server.stream(), server.connector()
    server.write("in/flights_2013-01-02.csv", "id,day,fare\n2,2013-01-02,9.5\n")
    window = connector.plan(stream, "incremental", Mark()).window
    assert window is not None
    now = connector.columns_now(stream, window.files)
    assert now is not None and [each.name for each in now] == ["id", "day", "fare"]


def test_a_folder_of_the_source_is_its_root(server: Server) -> None:
    days(server, 1)
    server.write("other.csv", "a\n1\n")
    connector = server.connector(path="in")
    assert [each.name for each in connector.discover()] == ["flights"]


def test_a_discovered_stream_leaves_files_alone_that_were_just_written(server: Server) -> None:
    days(server, 1, 2)
    os.utime(server.folder / "in/flights_2013-01-01.csv", (1_600_000_000, 1_600_000_000))
    (info,) = server.connector().discover()
    stream = StreamConfig(info.name, settings=info.settings, columns=info.columns)
    planned = server.connector().plan(stream, "incremental", Mark())
    assert planned.window is not None
    assert [each.path for each in planned.window.files] == ["in/flights_2013-01-01.csv"]
    assert len(planned.listed) == 2


@pytest.mark.parametrize("how", ["gone", "grown", "shrunk"])
def test_a_file_that_is_not_as_planned_is_not_read(server: Server, tmp_path: Path, how: str) -> None:
    days(server, 1)
    stream = server.stream()
    connector = server.connector()
    window = connector.plan(stream, "incremental", Mark()).window
    file = server.folder / "in/flights_2013-01-01.csv"
    if how == "gone":
        file.unlink()
    else:
        file.write_text("id,day\n1,2013-01-01\n2,2013-01-02\n" if how == "grown" else "id,day\n")
    with pytest.raises(DataError) as caught:
        extracted(tmp_path, connector, stream, window)
    assert caught.value.code == ("files_missing" if how == "gone" else "file_changed")


def test_no_copy_stays_behind_and_few_lie_there_at_a_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataplane.connectors.files.reading.SMALL", 40)
    days(server, *range(1, 9))
    stream = server.stream()
    window = server.connector().plan(stream, "incremental", Mark()).window
    most = 0
    release = remote.Spool.release

    def counted(self: remote.Spool, paths: list[str]) -> None:
        nonlocal most
        most = max(most, len(self._copies))
        release(self, paths)

    monkeypatch.setattr(remote.Spool, "release", counted)
    assert len(rows(tmp_path, extracted(tmp_path, server.connector(), stream, window))) == 8
    assert 0 < most <= 3
    assert not list(tmp_path.rglob("manifold-spool-*"))


def test_of_a_large_file_only_the_beginning_is_brought_to_look_at_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "SAMPLE", 1 << 20)
    server.write("large.csv", "id,name\n" + "".join(f"{each},{'long ' * 200}\n" for each in range(1_500)))
    stream = server.stream()
    assert [(each.name, each.type) for each in stream.columns] == [("id", "BIGINT"), ("name", "VARCHAR")]
    assert server.connector().preview(stream, 10).num_rows == 10


def test_a_wrong_password_is_the_fault_of_the_source(server: Server) -> None:
    last = list(server.connector(password="wrong-canary").test())[-1]
    assert last.error is not None
    assert (last.name, last.error.code, last.error.retryable) == ("authenticate", "authentication", False)
    assert "wrong-canary" not in str(last.error.as_json())


def test_a_folder_that_is_not_there_is_told(server: Server) -> None:
    last = list(server.connector(path="nowhere").test())[-1]
    assert last.error is not None
    assert (last.name, last.error.code) == ("list", "path_missing")


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
@pytest.mark.parametrize(
    ("host", "code"), [("169.254.169.254", "address_refused"), ("nowhere.invalid", "host_unknown")]
)
def test_addresses_are_looked_at_first(kind: str, host: str, code: str, tmp_path: Path) -> None:
    connector = Server(kind, {"host": host, "user": "ann", "password": "x"}, tmp_path).connector()
    (stage,) = connector.test()
    assert stage.error is not None and stage.error.code in (code, "name_service")


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
@pytest.mark.parametrize("what", ["closed", "drops", "hangs", "nonsense", "junk"])
def test_a_server_that_is_none_is_tried_again(
    kind: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONNECT_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(f"dataplane.connectors.{kind}.{name}", 0.5, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_behave, args=(listening, what), daemon=True)
        thread.start()
        params = {"host": "127.0.0.1", "port": listening.getsockname()[1], "user": "ann", "password": "x"}
        if what == "closed":
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        last = list(Server(kind, params, tmp_path).connector().test())[-1]
    assert last.name == "connect"
    assert isinstance(last.error, TransientError), last
    assert last.error.code == ("connection_refused" if what == "closed" else "connection_lost")


def _behave(listening: socket.socket, what: str) -> None:
    kept = []
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        kept.append(connection)
        if what == "nonsense":
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if what == "junk":
            connection.sendall(b"\x00\xff" * 100)
        if what != "hangs":
            connection.close()


def test_the_files_of_several_streams_are_told_by_one_listing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("orders_1.csv", "orders_2.csv", "clients_1.csv"):
        server.write(name, "id\n1\n")
    connector = server.connector()
    assert isinstance(connector, FileConnector)
    streams = [StreamConfig(each.name, settings=each.settings) for each in connector.discover()]
    listings: list[str] = []
    for session in (SftpSession, FtpSession):
        monkeypatch.setattr(session, "files", _noted(session.files, listings))
    found = connector.listed(streams)
    assert {name: len(files) for name, files in found.items()} == {"orders": 2, "clients": 1}
    assert listings == ["listed"]


def _noted(listing: Callable[[Any], Any], listings: list[str]) -> Callable[[Any], Any]:
    def noted(session: Any) -> Any:
        listings.append("listed")
        return listing(session)

    return noted
