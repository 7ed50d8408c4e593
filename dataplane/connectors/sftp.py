"""Files on an SFTP server, whose key has to be the one that was confirmed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import logging
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ClassVar

from pydantic import Field

from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import signing_in
from dataplane.connectors.fields import secret_field
from dataplane.connectors.files.found import Found, gone
from dataplane.connectors.files.remote import Remote, changed
from dataplane.connectors.files.server import (
    CONNECT_SECONDS,
    IDLE_SECONDS,
    SUGGESTED,
    Entry,
    FileServer,
    Kind,
    ServerParams,
    connected,
    forbidden,
    lost,
    names_encoding,
    no_folder,
    not_admitted,
)
from dataplane.connectors.files.spooled import Spooled
from dataplane.connectors.windows import FileRef
from dataplane.errors import ConfigurationError

# Servers answer pieces of this size; so many are asked for at once.
_PIECE = 32_768
_AT_ONCE = 32
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


class SftpParams(ServerParams):
    """Where the server is, how one is let in, and which key it shows."""

    model_config = signing_in({"password": "a password", "key": "a private key"})

    port: int = Field(22, ge=1, le=65535, title="Port")
    password: str | None = secret_field("Password", only={"way": ["password"]}, needed=True)
    private_key: str | None = secret_field(
        "Private key",
        "The whole text of the key's file, in OpenSSH's or PEM form.",
        multiline=True,
        only={"way": ["key"]},
        needed=True,
    )
    passphrase: str | None = secret_field("Passphrase", "Of the private key, where it has one.", only={"way": ["key"]})
    host_key: str | None = Field(
        None,
        title="Host key",
        description="The fingerprint SHA256:… of the server's key. Leave it empty to be shown it by the test; then "
        "compare it with what the server's administrator says, and enter it.",
    )


class SftpSession(FileServer):
    """One session."""

    def __init__(self, params: SftpParams) -> None:
        super().__init__(params)
        self._params = params
        self._root = params.path.rstrip("/") or "."
        self._transport: Any = None
        self._sftp: Any = None

    def _entries(self, folder: str) -> list[Entry]:
        with self._told(folder, no_folder(self._folder)):
            return [
                Entry(each.filename, _kind(each), *_facts(each)) for each in self._sftp.listdir_attr(self._at(folder))
            ]

    def stat(self, path: str) -> Found:
        with self._told(path, gone(path)):
            found = self._sftp.lstat(self._at(path))
        if not stat.S_ISREG(found.st_mode or 0):
            raise gone(path)
        return Found(path, "", *_facts(found))

    def read(self, found: Found) -> Iterator[bytes]:
        with self._told(found.path, gone(found.path)), self._sftp.open(self._at(found.path), "rb") as file:
            file._prefetch_thread = _quietly(file._prefetch_thread)
            for start in range(0, found.size, _PIECE * _AT_ONCE):
                end = min(start + _PIECE * _AT_ONCE, found.size)
                yield from file.readv([(at, min(_PIECE, end - at)) for at in range(start, end, _PIECE)])
        if self.stat(found.path) != found:
            raise changed(found.path, "while it was read")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _connect(self) -> str:
        """Shake hands, and look whether this is the server that was confirmed."""
        import paramiko

        self._transport = paramiko.Transport(connected(self._params.host, self._params.port))
        self._transport.banner_timeout = self._transport.auth_timeout = CONNECT_SECONDS
        # Whatever fails is told by our own errors; its log would hold their traces.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        with self._told("", lost(self._params.host)):
            self._transport.start_client(timeout=CONNECT_SECONDS)
            key = self._transport.get_remote_server_key()
        shown = _fingerprint(key.asbytes())
        wanted = (self._params.host_key or "").strip()
        if not wanted:
            raise _unknown(self._params.host, key.get_name(), shown)
        if not hmac.compare_digest(shown.encode(), wanted.rstrip("=").encode()):
            raise _other_key(self._params.host, shown, wanted)
        return f"The server shows the key {shown}, which was confirmed."

    def _authenticate(self) -> str:
        import paramiko

        params = self._params
        what = "private key" if params.private_key else "password"
        with self._told("", lost(params.host)):
            try:
                if params.private_key:
                    self._transport.auth_publickey(params.user, _key(params.private_key, params.passphrase))
                else:
                    self._transport.auth_password(params.user, params.password)
            except paramiko.AuthenticationException:
                raise not_admitted(params.user, what) from None
            # Nothing in paramiko ends this wait.
            patience = threading.Timer(IDLE_SECONDS, self._transport.close)
            patience.daemon = True
            patience.start()
            try:
                self._sftp = paramiko.SFTPClient.from_transport(self._transport)
            finally:
                patience.cancel()
            self._sftp.get_channel().settimeout(IDLE_SECONDS)
        return f"{params.user} is let in with a {what}."

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _told(self, path: str, missing: Exception) -> Iterator[None]:
        import paramiko

        try:
            yield
        except FileNotFoundError:
            raise missing from None
        except PermissionError:
            raise forbidden(path) from None
        except UnicodeError:
            raise names_encoding() from None
        except paramiko.ssh_exception.IncompatiblePeer as error:
            raise _no_common_cipher(self._params.host, str(error)) from None
        except paramiko.ChannelException:
            raise _no_files(self._params.host) from None
        except (paramiko.SSHException, paramiko.SFTPError, OSError, EOFError):
            raise lost(self._params.host) from None


def _quietly(asks: Callable[..., None]) -> Callable[..., None]:
    """What asks for pieces in a thread of paramiko, without the trace that it would print where the server has gone.

    Whoever waits for the pieces is told of it.
    """
    import paramiko

    @wraps(asks)
    def asked(*told: Any) -> None:
        with suppress(paramiko.SSHException, OSError, EOFError):
            asks(*told)

    return asked


class Sftp(Spooled):
    """A folder on an SFTP server."""

    key = "sftp"
    title = "SFTP"
    summary = "Files in a folder of an SFTP server, by name pattern, whole or only new ones."
    tested_with = "the SFTP server of paramiko"
    Params: ClassVar[type[SftpParams]] = SftpParams
    params: SftpParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.file_server(clue, product=cls.title, schemes=("sftp", "ssh", "scp"), port=22)

    suggested = SUGGESTED

    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        return SftpSession(self.params)


def _kind(entry: Any) -> Kind:
    if entry.filename in (".", ".."):
        return "itself"
    mode = entry.st_mode or 0
    if stat.S_ISLNK(mode):
        return "link"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _facts(status: Any) -> tuple[int, int]:
    """Size of a file, and when it changed."""
    return int(status.st_size or 0), int(status.st_mtime or 0) * 1_000_000_000


def _fingerprint(key: bytes) -> str:
    """As `ssh-keygen -l` writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _key(text: str, passphrase: str | None) -> Any:
    """A private key of whatever kind. Raises ConfigurationError; a form may have taken out its line breaks."""
    import paramiko

    match = _PEM.search(text)
    if match is None:
        raise _bad_key("It has to begin with -----BEGIN and to end with its END line")
    whole = match[0] + "\n"
    if "\n" not in match[2]:
        body = "".join(match[2].split())
        lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
        whole = f"-----BEGIN {match[1]}-----\n{lines}\n-----END {match[1]}-----\n"
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(whole), password=passphrase or None)
        except paramiko.PasswordRequiredException:
            raise _bad_key("It is locked: enter its passphrase") from None
        except Exception:  # noqa: S112  a key that is damaged fails in any way, with an AssertionError for one
            continue
    raise _bad_key("It is damaged, of a kind that is not supported, or its passphrase is wrong")


def _bad_key(why: str) -> ConfigurationError:
    return ConfigurationError(f"The private key cannot be read. {why}.", code="private_key")


def _no_common_cipher(host: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} and this machine know no common way to encrypt ({why[:200]}). Have the server's SSH renewed, or the "
        "files delivered another way.",
        code="server_unsupported",
        evidence={"host": host},
    )


def _no_files(host: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} lets this user in, but opens no channel for files. Have SFTP allowed for the user there.",
        code="permission_denied",
        evidence={"host": host},
    )


def _unknown(host: str, kind: str, shown: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} shows the key {shown} ({kind}). Compare it with what the server's administrator says, and enter it as "
        "*Host key*: from then on no other server is taken for this one.",
        code="host_key_unknown",
        evidence={"host": host, "host_key": shown},
    )


def _other_key(host: str, shown: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} shows the key {shown}, but {wanted} was confirmed: it may be another server. Nothing was sent to it. "
        "If its administrator has changed the key, enter the new one as *Host key*.",
        code="host_key_changed",
        evidence={"host": host, "host_key": shown, "confirmed": wanted},
    )
