"""Which file of authorities a server's certificate is checked against."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

from dataplane import authorities
from dataplane.connectors import registry
from dataplane.connectors.postgresql import authorities as postgresqls
from dataplane.errors import ConfigurationError
from tests.certificates import self_signed, tls_before
from tests.dataplane.connectors.remotes.web import serving


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
    assert authorities.trusted() == postgresqls.trusted() == trusted
    own = written(home / ".postgresql" / "root.crt")
    assert postgresqls.trusted() == own
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    assert postgresqls.trusted() == own, "the word is no file"
    named = written(home / "named.crt")
    monkeypatch.setenv("PGSSLROOTCERT", named)
    assert postgresqls.trusted() == named
    assert authorities.trusted() == trusted, "libpq's are those of PostgreSQL only"


def test_a_python_that_knows_no_list_finds_that_of_the_system(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert ssl.get_default_verify_paths().cafile is None
    lists = (str(home / "none.crt"), str(home / "debian.crt"), str(home / "suse.pem"))
    monkeypatch.setattr(authorities, "_SYSTEMS", lists)
    assert authorities.trusted() == certifi.where()
    written(home / "suse.pem")
    debians = written(home / "debian.crt")
    assert authorities.trusted() == debians


def test_an_authority_of_ones_own_is_named_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, which REST, GraphQL, downloads, object stores and servers of tokens share."""
    own = home / "own.pem"
    self_signed(own, "localhost")
    with serving() as web:
        web.files["/days.csv"] = b"day\n1\n"
        with tls_before("127.0.0.1", web.port, own) as port:
            at = registry.build(
                "http_files", {"urls": [f"https://localhost:{port}/days.csv"]}, networks=["127.0.0.0/8", "::1/128"]
            )

            def failed() -> tuple[str, str]:
                *_, last = at.test()
                assert last.error is not None
                return last.error.code, last.error.message

            code, message = failed()
            assert code == "encryption" and "name who signed it in SSL_CERT_FILE" in message
            monkeypatch.setenv("SSL_CERT_FILE", str(home / "gone.pem"))
            assert failed()[0] == "authorities_missing"
            monkeypatch.setenv("SSL_CERT_FILE", written(home / "empty.pem"))
            assert failed()[0] == "authorities_unreadable"
            monkeypatch.setenv("SSL_CERT_FILE", str(own))
            assert all(each.ok for each in at.test())


def test_a_file_that_is_not_there_is_no_silent_other(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "gone.pem"))
    with pytest.raises(ConfigurationError, match=r"gone\.pem, which is not there") as caught:
        authorities.trusted()
    assert caught.value.code == "authorities_missing"
