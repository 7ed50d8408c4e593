"""SFTP: the server has to be the one that was confirmed; keys of the user; what lies in its folders."""

from __future__ import annotations

import base64
import io
import os
import threading
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from dataplane.connectors import sftp as connector
from dataplane.connectors.base import Stage
from dataplane.connectors.files.found import rfc3339
from dataplane.connectors.registry import build
from dataplane.errors import ConfigurationError, TransientError
from tests.dataplane.connectors.remotes import ssh
from tests.dataplane.connectors.remotes.conftest import HOST_KEY, USER_KEY, Server, served


def last(server: Server, **changes: object) -> Stage:
    return list(server.connector(**changes).test())[-1]


def text_of(key: paramiko.PKey, password: str | None = None) -> str:
    out = io.StringIO()
    key.write_private_key(out, password=password)
    return out.getvalue()


def test_a_server_that_nobody_has_confirmed_is_shown_and_not_spoken_to(sftp: Server) -> None:
    stage = last(sftp, host_key=None)
    assert stage.error is not None
    assert (stage.name, stage.error.code) == ("connect", "host_key_unknown")
    assert stage.error.evidence["host_key"] == sftp.params["host_key"]
    assert last(sftp, host_key=stage.error.evidence["host_key"]).ok


def test_another_key_than_the_confirmed_one_is_refused(sftp: Server, folder: Path) -> None:
    with ssh.serving(folder, paramiko.ECDSAKey.generate(), USER_KEY) as other:
        stage = last(sftp, port=other.port)
    assert stage.error is not None
    assert (stage.error.code, stage.error.retryable) == ("host_key_changed", False)
    assert ssh.PASSWORD not in str(stage.error.as_json())


@pytest.mark.parametrize("squeezed", [False, True])
def test_a_private_key_lets_in(sftp: Server, squeezed: bool) -> None:
    text = text_of(USER_KEY)
    # A form of one line takes the line breaks out.
    text = text.replace("\n", "") if squeezed else text
    assert last(sftp, password=None, private_key=text).ok


def test_a_locked_key_needs_its_passphrase(sftp: Server) -> None:
    key = paramiko.RSAKey.generate(2048)
    stage = last(sftp, password=None, private_key=text_of(key, "opens"))
    assert stage.error is not None and stage.error.code == "private_key" and "passphrase" in stage.error.message
    stage = last(sftp, password=None, private_key=text_of(key, "opens"), passphrase="opens")
    assert stage.error is not None and stage.error.code == "authentication"


def test_what_is_no_key_is_told_without_showing_it(sftp: Server) -> None:
    stage = last(sftp, password=None, private_key="canary-key")
    assert stage.error is not None and stage.error.code == "private_key"
    assert "canary-key" not in str(stage.error.as_json())


def test_links_and_names_that_are_none_are_left_out(sftp: Server) -> None:
    sftp.write("a.csv", "id\n1\n")
    os.symlink("/etc/passwd", sftp.folder / "passwd.csv")
    os.symlink("/etc", sftp.folder / "etc")
    sftp.write("new\nline.csv", "id\n1\n")
    sftp.write("back\\slash.csv", "id\n1\n")
    found = sftp.connector().discover()
    assert [each.name for each in found] == ["a"]
    assert sum("is a link" in each for each in found[0].warnings) == 2
    assert sum("left out" in each for each in found[0].warnings) == 2


def test_one_needs_a_password_or_a_key() -> None:
    with pytest.raises(ValidationError, match=r"(?s)password\n.*with a password. Or sign in with a private key."):
        build("sftp", {"host": "h", "user": "ann"})


def test_a_server_that_lets_in_and_then_says_nothing_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "IDLE_SECONDS", 0.5)
    given_up = threading.Event()
    with ssh.serving(folder, HOST_KEY, USER_KEY, silent_until=given_up) as silent:
        stage = last(served(silent))
        given_up.set()
    assert stage.error is not None
    assert (stage.name, stage.error.code) == ("authenticate", "connection_lost")


def test_a_connection_that_is_cut_amid_a_file_leaves_no_trace_in_a_log(
    sftp: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sftp.write("a.csv", b"x" * (3 * connector._PIECE * connector._AT_ONCE))
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    session = connector.SftpSession(connector.SftpParams.model_validate(sftp.params))
    session.open()
    pieces = session.read(session.stat("a.csv"))
    for _ in range(connector._AT_ONCE):
        next(pieces)
    session.close()
    with pytest.raises(TransientError) as caught:
        list(pieces)
    for each in threading.enumerate():
        if "_prefetch_thread" in each.name:
            each.join(60)
    assert (caught.value.code, raised) == ("connection_lost", [])


def test_a_name_that_is_not_utf_8_is_told(sftp: Server) -> None:
    (sftp.folder / os.fsdecode(b"caf\xe9.csv")).write_text("id\n1\n")
    with pytest.raises(ConfigurationError) as caught:
        sftp.connector().discover()
    assert caught.value.code == "names_encoding"


def test_a_damaged_key_is_told() -> None:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    begin, *body, end = key.strip().split("\n")
    whole = bytearray(base64.b64decode("".join(body)))
    at = whole.rindex(b"ssh-ed25519") + len(b"ssh-ed25519") + 10
    whole[at] ^= 1
    damaged = f"{begin}\n{base64.b64encode(whole).decode()}\n{end}\n"
    with pytest.raises(ConfigurationError) as caught:
        connector._key(damaged, None)
    assert caught.value.code == "private_key"


def test_a_server_without_a_common_cipher_is_not_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paramiko.Transport, "_preferred_ciphers", ("aes256-ctr",))
    with ssh.serving(folder, HOST_KEY, USER_KEY, ciphers=["aes128-ctr"]) as old:
        stage = last(served(old))
    assert stage.error is not None and (stage.error.code, stage.error.retryable) == ("server_unsupported", False)


def test_a_user_without_a_channel_for_files_is_told(folder: Path) -> None:
    with ssh.serving(folder, HOST_KEY, USER_KEY, closed=True) as other:
        stage = last(served(other))
    assert stage.error is not None and (stage.error.code, stage.error.retryable) == ("permission_denied", False)


def test_a_time_that_no_calendar_holds_is_the_end_of_it() -> None:
    assert rfc3339(2**63 * 1_000_000_000).startswith("9999-12-31") and rfc3339(-(2**70)).startswith("0001-01-01")
