"""An SFTP server on loopback with one folder, one user, and a host key of its own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

USER, PASSWORD = "ann", "s3cret"


@dataclass
class Ssh:
    """Where it listens, what it serves, its key's fingerprint, and the one private key it lets in."""

    port: int
    folder: Path
    host_key: str
    admitted: paramiko.PKey


@contextmanager
def serving(
    folder: Path,
    key: paramiko.PKey,
    admitted: paramiko.PKey,
    silent_until: threading.Event | None = None,
    *,
    ciphers: Sequence[str] = (),
    closed: bool = False,
) -> Iterator[Ssh]:
    """The server while the block lasts.

    silent_until: it lets in, and answers nothing more before that. ciphers: the only ones it knows. closed: it opens no
    channel.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transports: list[paramiko.Transport] = []
        thread = threading.Thread(
            target=_accept, args=(listening, folder, key, _Door(admitted, silent_until, closed, ciphers), transports)
        )
        thread.start()
        try:
            yield Ssh(listening.getsockname()[1], folder, str(key.fingerprint), admitted)
        finally:
            # A thread that waits in accept() wakes up at once.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in transports:
                each.close()


def _accept(listening: socket.socket, folder: Path, key: paramiko.PKey, door: _Door, transports: list[Any]) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        transport = paramiko.Transport(connection)
        transports.append(transport)
        transport.add_server_key(key)
        if door.ciphers:
            transport.get_security_options().ciphers = door.ciphers
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, sftp_si=_Files, folder=folder)
        # Whoever only looks at the key goes away in the middle of it.
        with suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(event=threading.Event(), server=door)


class _Door(paramiko.ServerInterface):
    def __init__(
        self, admitted: paramiko.PKey, silent_until: threading.Event | None, closed: bool, ciphers: Sequence[str]
    ) -> None:
        self.ciphers = ciphers
        self._closed = closed
        self._admitted = admitted
        self._silent_until = silent_until

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        fits = (username, password) == (USER, PASSWORD)
        return paramiko.AUTH_SUCCESSFUL if fits else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = username == USER and key == self._admitted
        return paramiko.AUTH_SUCCESSFUL if fits else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED if self._closed else paramiko.OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if self._silent_until is not None:
            self._silent_until.wait(60)
        return super().check_channel_subsystem_request(channel, name)


class _Handle(paramiko.SFTPHandle):
    def stat(self) -> Any:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: Any, *, folder: Path) -> None:
        self._folder = folder

    def _at(self, path: str) -> Path:
        return self._folder / self.canonicalize(path).lstrip("/")

    def list_folder(self, path: str) -> Any:
        place = self._at(path)
        if not place.is_dir():
            return paramiko.SFTP_NO_SUCH_FILE
        found = []
        for name in os.listdir(place):
            each = paramiko.SFTPAttributes.from_stat(os.lstat(place / name))
            # As most servers do: the bytes, whatever they mean.
            each.filename = os.fsencode(name)
            found.append(each)
        return found

    def lstat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.lstat(self._at(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            file = self._at(path).open("rb")
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)
        handle = _Handle(flags)
        handle.readfile = file
        return handle
