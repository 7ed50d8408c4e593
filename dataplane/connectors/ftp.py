"""Files on an FTP server, with or without TLS."""

from __future__ import annotations

import ftplib
import hashlib
import hmac
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from dataplane import authorities
from dataplane.connectors import recognising
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.fields import said
from dataplane.connectors.files.found import Found, gone, size_told
from dataplane.connectors.files.remote import Remote, changed
from dataplane.connectors.files.server import (
    IDLE_SECONDS,
    SUGGESTED,
    Entry,
    FileServer,
    Kind,
    ServerParams,
    another_protocol,
    connected,
    lost,
    names_encoding,
    no_folder,
    not_admitted,
)
from dataplane.connectors.files.spooled import Spooled
from dataplane.connectors.watch import Watch
from dataplane.connectors.windows import FileRef
from dataplane.errors import ConfigurationError, DataError, ManifoldError

_PIECE = 1 << 18
_UNKNOWN_COMMAND = ("500", "501", "502", "504")
_KINDS: dict[str, Kind] = {"file": "file", "dir": "folder", "cdir": "itself", "pdir": "itself"}


class FtpParams(ServerParams):
    """Where the server is, and how one is let in."""

    port: int = Field(21, ge=1, le=65535, title="Port")
    user: str = Field("anonymous", min_length=1, title="User", json_schema_extra=said("Sign in"))
    tls: Literal["required", "off"] = Field(
        "required",
        title="Encryption",
        description="Off: user, password and files can be read by everybody on the way.",
        json_schema_extra=said(labels={"required": "required (FTPS)"}),
    )
    certificate: str | None = Field(
        None,
        title="Certificate",
        description="The SHA-256 fingerprint of a certificate that no authority has signed, as the test shows it; no "
        "other is accepted then.",
        pattern="^(?:[0-9A-Fa-f]{2}:?){32}$",
        json_schema_extra=said(only={"tls": ["required"]}),
    )

    @field_validator("user", "password", "path")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and any(ord(each) < ord(" ") for each in value):
            raise ValueError("Write it without line breaks and other control characters: FTP cannot be told them.")
        return value


class FtpSession(FileServer):
    """One session. hurried: it only looks, so a server that dribbles is given up."""

    def __init__(self, params: FtpParams, *, hurried: bool = False) -> None:
        super().__init__(params)
        self._params = params
        self._root = params.path.rstrip("/")
        self._hurried = hurried
        self._ftp: _Plain | _Pinned | None = None
        self._watch: Watch | None = None

    def stat(self, path: str) -> Found:
        self._came()
        with self._told(gone(path)):
            return Found(path, "", *self._facts(path))

    def read(self, found: Found) -> Iterator[bytes]:
        with self._told(gone(found.path)):
            self._session.voidcmd("TYPE I")
            connection = self._session.transfercmd(f"RETR {self._at(found.path)}")
            ended, size = False, 0
            try:
                while piece := connection.recv(_PIECE):
                    size += len(piece)
                    if size >= _PIECE:
                        self._came()
                        size = 0
                    yield piece
                ended = True
            finally:
                connection.close()
                # Whoever stops early is told so by the server, which is no failure.
                with suppress(*(() if ended else (ftplib.Error, OSError, EOFError))):
                    self._session.voidresp()
        if self.stat(found.path) != found:
            raise changed(found.path, "while it was read")

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        if self._ftp is not None:
            self._ftp.close()

    @property
    def _session(self) -> _Plain | _Pinned:
        assert self._ftp is not None, "the session has not been opened"
        return self._ftp

    def _came(self) -> None:
        if self._watch is not None:
            self._watch.came()

    def _connect(self) -> str:
        self._open(_Pinned(self._params.certificate) if self._params.tls == "required" else _Plain())
        return "The connection is encrypted." if self._params.tls == "required" else "The connection is not encrypted."

    def _open(self, ftp: _Plain | _Pinned) -> None:
        params = self._params
        self._ftp = ftp
        ftp.encoding = "utf-8"
        sock = connected(params.host, params.port)
        sock.settimeout(IDLE_SECONDS)
        # What ftplib's `connect` does, with a connection whose address was checked; the name is for the certificate.
        ftp.timeout, ftp.host, ftp.port = IDLE_SECONDS, params.host, params.port
        ftp.sock, ftp.af = sock, sock.family
        ftp.file = sock.makefile("r", encoding=ftp.encoding)
        if self._hurried:
            # That of the files ends last: without an answer behind it, what came of a list is none.
            self._watch = Watch(lambda: (ftp.sock, ftp.transfer))
        with self._told(lost(params.host), encrypting=True):
            try:
                ftp.welcome = ftp.getresp()
            except (ftplib.error_temp, ftplib.error_perm):
                raise
            except (ftplib.Error, UnicodeError):
                raise another_protocol(params.host, params.port, "FTP") from None
            if isinstance(ftp, _Pinned):
                ftp.auth()

    def _shown(self) -> str:
        """The fingerprint of the certificate that the server shows, whoever signed it; empty where it shows none now.

        Asked for in a session of its own, in which nobody signs in."""
        session = FtpSession(self._params, hurried=True)
        seen = _Unchecked()
        try:
            with suppress(ManifoldError):
                session._open(seen)
        finally:
            session.close()
        return seen.shown

    def _authenticate(self) -> str:
        params = self._params
        with self._told(not_admitted(params.user, "password"), encrypting=True):
            self._session.login(params.user, params.password or "")
            if isinstance(self._session, _Pinned):
                self._session.prot_p()
        return f"{params.user} is let in."

    def _entries(self, folder: str) -> list[Entry]:
        """What a folder holds. A server without MLSD lists the files of one folder only."""
        self._came()
        place = self._at(folder)
        with self._told(no_folder(self._folder)):
            try:
                return [_entry(*each) for each in self._session.mlsd(place, facts=["type", "size", "modify"])]
            except ftplib.error_perm as error:
                if not str(error).startswith(_UNKNOWN_COMMAND):
                    raise
            names = [each.rpartition("/")[2] for each in self._session.nlst(place or ".")]
        return [found for name in names if (found := self._asked_alone(folder, name))]

    def _asked_alone(self, folder: str, name: str) -> Entry | None:
        """A file that was only named; None for what is no file."""
        path = f"{folder}/{name}".lstrip("/")
        self._came()
        with suppress(DataError), self._told(gone(path)):
            return Entry(name, "file", *self._facts(path))
        return None

    def _facts(self, path: str) -> tuple[int, int]:
        """Size of a file, and when it changed. Raises what ftplib raises."""
        self._session.voidcmd("TYPE I")
        size = self._session.sendcmd(f"SIZE {self._at(path)}").partition(" ")[2]
        modified = self._session.sendcmd(f"MDTM {self._at(path)}").partition(" ")[2]
        return size_told(size), _nanoseconds(modified)

    def _at(self, path: str) -> str:
        return "/".join(each for each in (self._root, path) if each)

    @contextmanager
    def _told(self, refused: Exception, *, encrypting: bool = False) -> Iterator[None]:
        """Errors in our words; `refused` is raised where the server says no for good.

        encrypting: a command that the server does not know is one of those that ask for encryption.
        """
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise _unknown(self._params.host, error.verify_message, self._shown()) from None
        except ssl.SSLError as error:
            raise _no_tls(self._params.host, str(error)) from None
        except ftplib.error_perm as error:
            if encrypting and str(error).startswith(_UNKNOWN_COMMAND) and isinstance(self._ftp, _Pinned):
                raise _no_tls(self._params.host, str(error)) from None
            if not encrypting and str(error).startswith(("500", "502")):
                raise _too_old(self._params.host, str(error)) from None
            raise refused from None
        except UnicodeError:
            raise names_encoding() from None
        except (ftplib.Error, OSError, EOFError):
            raise lost(self._params.host) from None


class Ftp(Spooled):
    """A folder on an FTP server."""

    key = "ftp"
    title = "FTP and FTPS"
    summary = "Files in a folder of an FTP server, with or without TLS, by name pattern, whole or only new ones."
    tested_with = "the FTP server pyftpdlib, with and without TLS"
    Params: ClassVar[type[FtpParams]] = FtpParams
    params: FtpParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.file_server(clue, product="FTP", schemes=("ftp", "ftps", "ftpes"), port=21)

    suggested = SUGGESTED

    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        return FtpSession(self.params, hurried=sample)


class _Plain(ftplib.FTP):
    """Without TLS, chosen by whoever added the source. transfer: the connection that files or lists of them come by."""

    transfer: socket.socket | None = None

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        self.transfer, size = super().ntransfercmd(cmd, rest)
        return self.transfer, size


class _Pinned(ftplib.FTP_TLS):
    """TLS by the known authorities, or by the one certificate that was confirmed; for commands and for files."""

    transfer: socket.socket | None = None

    def __init__(self, certificate: str | None) -> None:
        context = authorities.context()
        if certificate:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__(context=context)
        self._wanted = (certificate or "").replace(":", "").lower()

    def auth(self) -> str:
        answer = super().auth()
        self._look(self.sock)
        return answer

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """As ftplib's, but in the session of the command connection, which many servers insist on."""
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321  wrapped below
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        secured = self.context.wrap_socket(connection, server_hostname=self.host, session=session)
        self._look(secured)
        self.transfer = secured
        return secured, size

    def _look(self, sock: Any) -> None:
        shown = _fingerprint(sock)
        if self._wanted and not hmac.compare_digest(shown, self._wanted):
            sock.close()
            raise ConfigurationError(
                f"{self.host} shows the certificate {shown}, but {self._wanted} was confirmed: it may be another. "
                "If its administrator has changed it, enter the new fingerprint as *Certificate*.",
                code="certificate_changed",
                evidence={"certificate": shown, "confirmed": self._wanted},
            )


class _Unchecked(_Pinned):
    """TLS with whoever is there, to be told what it shows. shown: the fingerprint of its certificate."""

    shown = ""

    def __init__(self) -> None:
        # One is named, so that no authority is asked; it is not compared.
        super().__init__("none")

    def _look(self, sock: Any) -> None:
        self.shown = _fingerprint(sock)


def _fingerprint(sock: ssl.SSLSocket) -> str:
    return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()


def _entry(name: str, facts: Mapping[str, str]) -> Entry:
    kind = _KINDS.get(facts.get("type", "").lower(), "other")
    return Entry(name, kind, size_told(facts.get("size", "")), _nanoseconds(facts.get("modify", "")))


def _nanoseconds(modified: str) -> int:
    """A time as the server writes it; what it writes otherwise counts as nothing."""
    try:
        seconds, _, part = modified.strip().partition(".")
        moment = datetime.strptime(seconds, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000_000 + int(part.ljust(6, "0")[:6] or 0) * 1_000
    except (ValueError, OverflowError):
        return 0


def _unknown(host: str, why: str, shown: str) -> ConfigurationError:
    what = f"the certificate {shown}" if shown else "a certificate"
    return ConfigurationError(
        f"{host} shows {what}, which is not trusted by itself ({why[:200]}). Compare this SHA-256 fingerprint with "
        "what the server's administrator says, and enter it as *Certificate*: from then on no other is accepted.",
        code="certificate_unknown",
        evidence={"host": host, "certificate": shown},
    )


def _no_tls(host: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} cannot be spoken to with encryption as it is asked for ({why[:200]}). Have its "
        "administrator mend that; if it has no encryption, switch *Encryption* off.",
        code="encryption",
        evidence={"host": host},
    )


def _too_old(host: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{host} does not know a command that files are listed or read with ({why[:200]}): MLSD, or NLST, SIZE and "
        "MDTM. Switch it on at the server, or have the files delivered another way.",
        code="server_unsupported",
        evidence={"host": host},
    )
