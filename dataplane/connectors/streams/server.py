"""What sources of messages have in common that are reached at one server, or over TLS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pydantic import Field

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.server import IDLE_SECONDS
from dataplane.errors import ConfigurationError
from dataplane.net import resolve

HURRIED_SECONDS = 10.0


class ServerAddress(Stated):
    """Where a server is, and who is let in."""

    host: str = Field(min_length=1, title="Host", description="A name or an address.", examples=["queue.example.org"])
    port: int = Field(ge=1, le=65535, title="Port")
    user: str | None = Field(None, title="User", json_schema_extra=said("Sign in"))
    password: str | None = secret_field("Password")


class TlsAccess(Stated):
    """Whether TLS is spoken, and who is trusted."""

    tls: bool = Field(False, title="TLS", description="Certificates are checked.")
    certificate: str | None = Field(
        None,
        title="Certificate of the issuer",
        description="As PEM; empty: whom this machine trusts.",
        json_schema_extra=said(only={"tls": [True]}, multiline=True),
    )


class ChosenStreams(Stated):
    """Which streams are read."""

    streams: tuple[str, ...] = Field(
        (),
        max_length=1_000,
        title="Streams",
        description="By name, one a line. Empty: every one that may be read.",
        json_schema_extra=said("Reading"),
    )


class _Params(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def streams(self) -> tuple[str, ...]: ...


P = TypeVar("P", bound=_Params)


class ServerSession(ABC, Generic[P]):
    """One connection to a server; nothing is opened before its steps."""

    def __init__(self, params: P, *, hurried: bool) -> None:
        self._params = params
        self._seconds = HURRIED_SECONDS if hurried else IDLE_SECONDS

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [("resolve", self._resolve), ("connect", self._connect), ("authenticate", self._authenticate)]

    def names(self) -> list[str]:
        return list(self._params.streams) or sorted(self._found())

    def follow(self, stream: str, read: dict[str, int]) -> None:
        """There is no group to tell."""

    def _resolve(self) -> str:
        return f"{self._params.host} is {', '.join(resolve(self._params.host, self._params.port))}."

    @abstractmethod
    def _connect(self) -> str: ...

    @abstractmethod
    def _authenticate(self) -> str: ...

    @abstractmethod
    def _found(self) -> list[str]:
        """The streams that the server tells of."""


def tls_fails(where: str, why: str) -> ConfigurationError:
    """The error for a TLS connection that does not come about."""
    return ConfigurationError(
        f"The TLS connection to {where} does not come about: {why[:200]}. Correct the certificate or the name of the "
        "server, or switch TLS on or off as the server has it.",
        code="tls",
        evidence={"server": where},
    )
