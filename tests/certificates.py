"""Certificates that a test makes for itself, and a door with TLS before a server that has none."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def self_signed(file: Path, host: str) -> str:
    """Write a certificate for a host with its key; the certificate itself as PEM, for whoever is to trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    return made.public_bytes(pem).decode()


@contextmanager
def tls_before(host: str, port: int, certificate: Path, *, postgresql: bool = False) -> Iterator[int]:
    """The port on loopback at which a plain server is reached over TLS; PostgreSQL's clients ask for it first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    came, _ = listening.accept()
                    threading.Thread(target=_passed, args=[came, context, host, port, postgresql], daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def _passed(came: socket.socket, context: ssl.SSLContext, host: str, port: int, postgresql: bool) -> None:
    """Hand everything on, both ways, until either side hangs up; whoever mistrusts the certificate does so soon."""
    with suppress(OSError):
        if postgresql:
            came.recv(8, socket.MSG_WAITALL)
            came.sendall(b"S")
        with context.wrap_socket(came, server_side=True) as near, socket.create_connection((host, port)) as far:
            threading.Thread(target=_copied, args=[far, near], daemon=True).start()
            _copied(near, far)


def _copied(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(1 << 16):
            target.sendall(some)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
