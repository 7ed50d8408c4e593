"""What an operator enters to reach a database."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dataplane.connectors.base import secret_field

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class PostgreSQLParams(BaseModel):
    """Address, sign-in and encryption of one database."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(title="Host", description="Name or address of the server.", min_length=1, max_length=255)
    port: int = Field(default=5432, title="Port", ge=1, le=65535)
    database: str = Field(title="Database", min_length=1, max_length=63)
    user: str = Field(
        title="User",
        description="A role that may read what you want to extract. It should not be a superuser.",
        min_length=1,
        max_length=63,
    )
    password: str | None = secret_field("Password")
    sslmode: SslMode = Field(
        default="prefer",
        title="Encryption",
        description="prefer: encrypted if the server can. require: refused otherwise. verify-full: the server's "
        "certificate and name are checked too.",
    )
    schemas: tuple[str, ...] = Field(
        default=(), title="Schemas", description="Only these schemas are looked at; none named: all but the system's."
    )

    @field_validator("host", "database", "user")
    @classmethod
    def _no_null_byte(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must not hold a null character")
        return value
