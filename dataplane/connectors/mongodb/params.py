"""What an operator enters to reach a database of MongoDB."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.errors import ConfigurationError

Tls = Literal["disable", "require", "verify-full"]


class MongoParams(Stated):
    """Address, sign-in and encryption of one database."""

    host: str = Field(
        title="Host",
        description="Name or address of the server; of a replica set several with commas between them, each with its "
        "port where that is another.",
        min_length=1,
        max_length=1000,
        examples=["db.example.org"],
    )
    port: int = Field(default=27017, title="Port", ge=1, le=65535, json_schema_extra=said(only={"srv": [False]}))
    srv: bool = Field(
        default=False,
        title="The host's DNS records name the servers",
        description="As for addresses that begin with mongodb+srv://.",
    )
    database: str = Field(title="Database", description="Its collections are the streams.", min_length=1, max_length=63)
    user: str | None = Field(
        default=None,
        title="User",
        description="A user with the role read. Empty: nobody signs in.",
        max_length=1000,
        json_schema_extra=said("Sign in"),
    )
    password: str | None = secret_field("Password", only={"user": []})
    auth_database: str = Field(
        default="admin",
        title="Database of the user",
        description="Where the user was created (authSource).",
        min_length=1,
        max_length=63,
        json_schema_extra=said("Sign in", only={"user": []}),
    )
    tls: Tls = Field(
        default="verify-full",
        title="Encryption",
        description="verify-full: the server's certificate and name are checked. require: encrypted, whoever answers. "
        "disable: not encrypted.",
    )

    @field_validator("host", "database", "user", "auth_database")
    @classmethod
    def _no_null_byte(cls, value: str | None) -> str | None:
        if value and "\0" in value:
            raise ValueError("must not hold a null character")
        return value or None

    @field_validator("database", "auth_database")
    @classmethod
    def _named(cls, value: str) -> str:
        if set(value) & set('/\\. "$'):
            raise ValueError("A database's name holds none of / \\ . \" $ and no blank.")
        return value

    def servers(self) -> list[tuple[str, int]]:
        """Hosts and their ports. Raises ConfigurationError."""
        found = []
        for each in self.host.split(","):
            host, colon, port = each.strip().rpartition(":")
            if not colon or host.endswith(":") or (":" in host and not host.startswith("[")):
                host, port = each.strip(), str(self.port)
            if not (port.isdecimal() and 0 < int(port) < 65536):
                raise ConfigurationError(
                    f"{each.strip()!r} is no host with its port. Write db1.example.org:27017.", code="host_unknown"
                )
            found.append((host.strip("[]"), int(port)))
        return found
