"""A PostgreSQL that proves who it is: by an authority that this machine trusts, and by no other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dataplane.connectors.postgresql import PostgreSQL
from dataplane.connectors.schema import StreamConfig
from manifold.embedded import binaries, lifeline, postgres
from manifold.embedded.account import give, server_account
from tests.ports import own_port

pytestmark = pytest.mark.all


def certificate(folder: Path) -> tuple[Path, Path]:
    """The certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "server.pem", folder / "server.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    secret.chmod(0o600)
    return pem, secret


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[postgres.Postgres, Path]]:
    with TemporaryDirectory(prefix="manifold-trust-", ignore_cleanup_errors=True) as folder:
        yield from served(Path(folder))


def served(folder: Path) -> Iterator[tuple[postgres.Postgres, Path]]:
    folder.chmod(0o755)
    account = server_account()
    home = folder / "postgres"
    home.mkdir()
    pem, secret = certificate(home)
    give(home, account)
    give(pem, account)
    give(secret, account)
    settings = {"ssl": "on", "ssl_cert_file": str(pem), "ssl_key_file": str(secret), "fsync": "off"}
    program = binaries.postgres_bin(account)
    made = postgres.Postgres(home / "data", program, own_port(), postgres.new_password(), account, settings)
    made.initialise()
    with open(folder / "log", "ab") as log:
        process = made.start(log, preexec=lifeline.before_exec(signal.SIGINT))
    try:
        made.wait_until_ready(process)
        yield made, pem
    finally:
        postgres.stop(process)


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
def test_who_signs_has_to_be_trusted_here(
    server: tuple[postgres.Postgres, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    made, pem = server
    url = made.ensure_role("reader", "p" * 20, "shop")
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS sums AS SELECT 7 AS id")
    params = {"host": "127.0.0.1", "port": made.port, "database": "shop", "user": "reader", "password": "p" * 20}
    connector = PostgreSQL(PostgreSQL.Params.model_validate({**params, "sslmode": mode}))
    failed = next(each for each in connector.test() if not each.ok)
    assert failed.error is not None and failed.error.code == "encryption"
    assert "SSL_CERT_FILE" in failed.error.message
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(pem.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert all(each.ok for each in connector.test())
    (info,) = connector.discover()
    rows = connector.preview(StreamConfig(info.name, columns=info.columns))
    assert rows.to_pylist() == [{"id": 7}], "psycopg asks, DuckDB reads: both trust it"
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("PGSSLROOTCERT", str(trusted))
    assert all(each.ok for each in connector.test()), "what libpq goes by stays"
