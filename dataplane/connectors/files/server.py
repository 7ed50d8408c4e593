"""What file servers have in common: where they are, which folder is read, and how a connection fails."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.place import Work
from dataplane.connectors.files.remote import Remote, bounded, sound
from dataplane.errors import ConfigurationError, TransientError
from dataplane.net import resolve

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
# Deeper folders than this are a circle, or nobody's delivery.
DEEPEST = 20
# What a stream begins with: other people's programs write into these folders while they are listed.
SUGGESTED: dict[str, Any] = {"settle_seconds": 30}


class ServerParams(Stated):
    """A server, who is let in, and a folder there."""

    host: str = Field(min_length=1, title="Host", description="A name or an address.", examples=["files.example.org"])
    port: int = Field(ge=1, le=65535, title="Port")
    user: str = Field(min_length=1, title="User", json_schema_extra=said("Sign in"))
    password: str | None = secret_field("Password")
    path: str = Field(
        "",
        title="Folder",
        description="Empty: the one that the user comes to; files in its subfolders are found too.",
        examples=["outgoing/daily"],
    )
    largest_mb: int = Field(10_240, ge=1, title="Largest file, in MB", json_schema_extra=said("Limits"))


Kind = Literal["file", "folder", "link", "itself", "other"]
"""What stands under a name. itself: the folder that is listed, or the one above it, which some servers list, too."""


class Entry(NamedTuple):
    """What a folder holds under a name; changed: in nanoseconds."""

    name: str
    kind: Kind
    size: int = 0
    changed: int = 0


class FileServer(Remote):
    """A session with a server that lists folder by folder; nothing is opened before its steps."""

    def __init__(self, params: ServerParams) -> None:
        self._host, self._port, self._folder = params.host, params.port, params.path

    @abstractmethod
    def _connect(self) -> str:
        """Reach the server. Like all that follow, answers in a sentence or raises ManifoldError."""

    @abstractmethod
    def _authenticate(self) -> str:
        """Be let in."""

    @abstractmethod
    def _entries(self, folder: str) -> Iterable[Entry]:
        """What a folder below the source's holds."""

    def steps(self) -> Sequence[Work]:
        return [("resolve", self._resolve), ("connect", self._connect), ("authenticate", self._authenticate)]

    def _resolve(self) -> str:
        return f"{self._host} is {', '.join(resolve(self._host, self._port))}."

    def files(self) -> tuple[list[Found], list[str]]:
        found: list[Found] = []
        warnings: list[str] = []
        folders = [("", 0)]
        while folders:
            folder, depth = folders.pop()
            for each in self._entries(folder):
                path = f"{folder}/{each.name}".lstrip("/")
                if each.kind == "itself" or not fit(path, warnings):
                    continue
                if each.kind == "folder" and depth < DEEPEST:
                    folders.append((path, depth + 1))
                elif each.kind == "file":
                    found.append(Found(path, "", each.size, each.changed))
                elif each.kind == "link":
                    warnings.append(f"{path} is a link; it is not read. Put the file itself there.")
            bounded(found, self._folder)
        return found, warnings


def connected(host: str, port: int) -> socket.socket:
    """A connection to the first of the host's checked addresses that takes one. Raises ManifoldError."""
    failure: OSError | None = None
    for address in resolve(host, port):
        try:
            return socket.create_connection((address, port), timeout=CONNECT_SECONDS)
        except OSError as error:
            failure = error
    raise unreachable(host, port, failure)


def unreachable(host: str, port: int, error: OSError | None) -> TransientError:
    """The error for a server that takes no connection."""
    evidence = {"host": host, "port": port}
    if isinstance(error, TimeoutError):
        return TransientError(
            f"{host} does not answer on port {port}. Check the port and the firewall.",
            code="connection_timeout",
            evidence=evidence,
        )
    if isinstance(error, ConnectionRefusedError):
        return TransientError(
            f"{host} accepts no connection on port {port}. Check the port, or start the server.",
            code="connection_refused",
            evidence=evidence,
        )
    return TransientError(
        f"{host} cannot be reached on port {port}. Check the network.",
        code="unreachable",
        evidence=evidence,
    )


def lost(host: str) -> TransientError:
    """The error for a session that ended, or in which nothing comes any more."""
    return TransientError(
        f"The connection to {host} broke off, or nothing came from there for too long. If it stays so, "
        "look at the network and the server.",
        code="connection_lost",
        evidence={"host": host},
    )


def another_protocol(host: str, port: int, wanted: str) -> TransientError:
    """The error for what listens, and answers with what no such server says."""
    return TransientError(
        f"{host} answers on port {port} in another protocol than {wanted}. Check host and port, and what listens "
        "there.",
        code="connection_lost",
        evidence={"host": host, "port": port},
    )


def no_folder(path: str) -> ConfigurationError:
    """The error for a folder that the server does not have."""
    return ConfigurationError(
        f"The folder {path or '.'} does not exist on the server. Correct the folder of the source.",
        code="path_missing",
        evidence={"path": path},
    )


def names_encoding() -> ConfigurationError:
    """The error for a server whose names of files are no UTF-8."""
    return ConfigurationError(
        "The server writes names of files that are not UTF-8. Rename them, or set the server to UTF-8.",
        code="names_encoding",
    )


def forbidden(path: str) -> ConfigurationError:
    """The error for what the user may not read."""
    return ConfigurationError(
        f"{path or 'The folder'} may not be read by this user. Have the server's administrator grant it.",
        code="permission_denied",
        evidence={"path": path},
    )


def not_admitted(user: str, what: str) -> ConfigurationError:
    """The error for a sign-in that is refused."""
    return ConfigurationError(
        f"The server does not let {user} in with this {what}. Correct the user or the {what}.",
        code="authentication",
        evidence={"user": user},
    )


def fit(path: str, warnings: list[str]) -> bool:
    """Whether a path that a server tells can be used; a sentence is added for one that cannot."""
    if not sound(path):
        warnings.append(f"{path!r} is left out: its name holds what no path may hold.")
        return False
    return not any(part.startswith(".") for part in path.split("/"))
