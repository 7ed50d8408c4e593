"""Which file of authorities a PostgreSQL's certificate is checked against."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataplane.connectors.postgresql import authorities


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a file of authorities, and nothing in the environment that names one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return tmp_path


def written(file: Path) -> str:
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    return str(file)


def test_what_libpq_goes_by_goes_before_what_the_machine_trusts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = written(home / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", trusted)
    assert authorities.trusted() == trusted
    own = written(home / ".postgresql" / "root.crt")
    assert authorities.trusted() == own
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    assert authorities.trusted() == own, "the word is no file"
    named = written(home / "named.crt")
    monkeypatch.setenv("PGSSLROOTCERT", named)
    assert authorities.trusted() == named
