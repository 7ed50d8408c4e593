"""What an operator enters to reach a database."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dataplane.connectors.databases.params import ServerParams
from dataplane.connectors.fields import said

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class PostgreSQLParams(ServerParams):
    """Address, sign-in and encryption of one database."""

    port: int = Field(default=5432, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", min_length=1, max_length=63)
    user: str = Field(
        title="User",
        description="A role that may read what you want to extract. It should not be a superuser.",
        min_length=1,
        max_length=63,
        json_schema_extra=said("Sign in"),
    )
    sslmode: SslMode = Field(
        default="prefer",
        title="Encryption",
        description="prefer: encrypted if the server can. require: refused otherwise. verify-full: the server's "
        "certificate and name are checked too.",
    )
    schemas: tuple[str, ...] = Field(
        default=(),
        title="Schemas",
        description="Only these schemas are looked at; none named: all but the system's.",
        json_schema_extra=said("Reading"),
    )
