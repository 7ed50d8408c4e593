"""An FTP server on loopback with one folder and one user, with TLS or without."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from tests.certificates import self_signed

USER, PASSWORD = "ann", "s3cret"


@dataclass
class FtpServer:
    port: int
    folder: Path


@contextmanager
def serving(
    folder: Path, certificate: Path | None = None, *, without: tuple[str, ...] = (), hangs_up_on: str = ""
) -> Iterator[FtpServer]:
    """The server while the block lasts. certificate: a PEM file with its key. without: commands it does not know.
    hangs_up_on: a file whose size it does not tell."""
    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(folder))
    known = {name: what for name, what in FTPHandler.proto_cmds.items() if name not in without}
    facts = {"authorizer": authorizer, "proto_cmds": known, "use_sendfile": False, "auth_failed_timeout": 0.0}
    if hangs_up_on:

        def size(self: FTPHandler, path: str) -> None:
            self.close() if path.endswith(hangs_up_on) else FTPHandler.ftp_SIZE(self, path)

        facts["ftp_SIZE"] = size
    if certificate is None:
        handler = type("Handler", (FTPHandler,), facts)
    else:
        tls = {name: what for name, what in TLS_FTPHandler.proto_cmds.items() if name not in without}
        secure = {"certfile": str(certificate), "tls_control_required": True, "tls_data_required": True}
        handler = type("Handler", (TLS_FTPHandler,), {**facts, "proto_cmds": tls, **secure})
    stopped = threading.Event()
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=loop)

    def serve() -> None:
        while not stopped.is_set():
            loop.loop(timeout=0.05, blocking=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield FtpServer(server.socket.getsockname()[1], folder)
    finally:
        stopped.set()
        thread.join()
        server.close_all()


def certificate(file: Path) -> str:
    """Write a certificate that nobody has signed, with its key; its SHA-256 fingerprint."""
    made = ssl.PEM_cert_to_DER_cert(self_signed(file, "localhost"))
    return hashlib.sha256(made).digest().hex(":")
