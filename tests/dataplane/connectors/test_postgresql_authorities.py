"""Which file of authorities a PostgreSQL's certificate is checked against."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from dataplane.connectors.postgresql import authorities
from dataplane.errors import ConfigurationError


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


def test_a_python_that_knows_no_list_finds_that_of_the_system(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert ssl.get_default_verify_paths().cafile is None
    lists = (str(home / "none.crt"), str(home / "debian.crt"), str(home / "suse.pem"))
    monkeypatch.setattr(authorities, "_SYSTEMS", lists)
    assert authorities.trusted() == certifi.where()
    written(home / "suse.pem")
    debians = written(home / "debian.crt")
    assert authorities.trusted() == debians


def test_a_file_that_is_not_there_is_no_silent_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "gone.pem"))
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE names .*gone\.pem, which is not there") as caught:
        authorities.trusted()
    assert caught.value.code == "authorities_missing"
