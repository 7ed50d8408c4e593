"""A folder that is served by each kind of file server in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko
import pytest

from dataplane.connectors.base import Connector
from dataplane.connectors.registry import build
from dataplane.connectors.schema import StreamConfig
from tests.dataplane.connectors.remotes import ftp, ssh

HOST_KEY = paramiko.ECDSAKey.generate()
USER_KEY = paramiko.ECDSAKey.generate()


@dataclass
class Server:
    """A kind of source, the parameters that reach it, and the folder that it serves."""

    kind: str
    params: dict[str, Any]
    folder: Path

    def connector(self, **changes: Any) -> Connector:
        return build(self.kind, {**self.params, **changes})

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def stream(self) -> StreamConfig:
        """The only stream there is, read as soon as its files are there."""
        (info,) = self.connector().discover()
        return StreamConfig(info.name, settings={**info.settings, "settle_seconds": 0}, columns=info.columns)


def served(server: ssh.Ssh) -> Server:
    """What such a server serves, to a user whom it lets in."""
    params = {"host": "127.0.0.1", "port": server.port, "user": ssh.USER, "password": ssh.PASSWORD}
    return Server("sftp", {**params, "host_key": server.host_key}, server.folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    return tmp_path / "served"


@pytest.fixture
def sftp(folder: Path) -> Iterator[Server]:
    with ssh.serving(folder, HOST_KEY, USER_KEY) as server:
        yield served(server)


@pytest.fixture
def plain_ftp(folder: Path) -> Iterator[Server]:
    with ftp.serving(folder) as server:
        params = {"host": "127.0.0.1", "port": server.port, "user": ftp.USER, "password": ftp.PASSWORD}
        yield Server("ftp", {**params, "tls": "off"}, folder)


@pytest.fixture
def ftps(folder: Path, tmp_path: Path) -> Iterator[Server]:
    fingerprint = ftp.certificate(tmp_path / "server.pem")
    with ftp.serving(folder, tmp_path / "server.pem") as server:
        params = {"host": "127.0.0.1", "port": server.port, "user": ftp.USER, "password": ftp.PASSWORD}
        yield Server("ftp", {**params, "certificate": fingerprint}, folder)


@pytest.fixture(params=["sftp", "plain_ftp", pytest.param("ftps", marks=pytest.mark.all)])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found
