"""What is declared of a cluster, and what its client makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from dataplane import authorities
from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.server import CONNECT_SECONDS
from dataplane.connectors.streams.params import MessageParams
from dataplane.connectors.streams.server import TlsAccess

if TYPE_CHECKING:
    from confluent_kafka import KafkaError


_SASL = {"sasl": ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]}
LARGEST = 110_000_000
"""Bytes of an answer. A broker takes no message of more than 104,857,600 unless it is told to."""


class KafkaServers(Stated):
    """Where the brokers are, and which topics are read."""

    servers: tuple[str, ...] = Field(
        min_length=1,
        max_length=20,
        title="Servers",
        description="Host and port, one a line, such as kafka-1:9092.",
        examples=["kafka-1.example.org:9092"],
    )
    topics: tuple[str, ...] = Field(
        (),
        max_length=1_000,
        title="Topics",
        description="One a line. Empty: every topic that may be read.",
        json_schema_extra=said("Reading"),
    )

    @field_validator("servers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            host, _, port = each.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"{each!r} is no host with a port. Write it like kafka-1:9092.")
        return value

    @property
    def addresses(self) -> list[tuple[str, int]]:
        parts = [each.rpartition(":") for each in self.servers]
        return [(host.strip("[]"), int(port)) for host, _, port in parts]


class KafkaSignIn(Stated):
    """How one is let in."""

    sasl: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "none", title="Sign in with", json_schema_extra=said("Sign in", labels={"none": "nothing"})
    )
    user: str | None = Field(None, title="User", json_schema_extra=said("Sign in", only=_SASL, needed=True))
    password: str | None = secret_field("Password", only=_SASL, needed=True)
    group: str | None = Field(
        None,
        max_length=200,
        title="Consumer group",
        description="Its offsets follow what was loaded, for whoever watches them. They are never read.",
        json_schema_extra=said("Reading"),
    )


class KafkaParams(MessageParams, KafkaSignIn, TlsAccess, KafkaServers):
    """The parameters of a source. A form shows the fields of the last base first."""


def settings_of(params: KafkaParams, noted: Callable[[KafkaError], None]) -> dict[str, Any]:
    """The client's settings. noted: told of what goes wrong between it and the brokers."""
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(params.servers),
        "client.id": "manifold",
        # The client wants a name; without one of the operator's it never commits anything under it.
        "group.id": params.group or "manifold",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "isolation.level": "read_committed",
        "socket.connection.setup.timeout.ms": int(CONNECT_SECONDS * 1000),
        "queued.max.messages.kbytes": 32_768,
        "receive.message.max.bytes": LARGEST,
        "error_cb": noted,
        "security.protocol": ("SASL_" if params.sasl != "none" else "") + ("SSL" if params.tls else "PLAINTEXT"),
    }
    if params.sasl != "none":
        settings |= {
            "sasl.mechanism": params.sasl,
            "sasl.username": params.user,
            "sasl.password": params.password,
        }
    if params.tls and params.certificate:
        settings["ssl.ca.pem"] = params.certificate
    elif params.tls:
        settings["ssl.ca.location"] = authorities.trusted()
    return settings
