"""What an operator enters to reach a database."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dataplane.connectors.base import secret_field

SslMode = Literal["disable", "prefer", "require", "verify-full"]


class MySQLParams(BaseModel):
    """Address, sign-in and encryption of one database."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(title="Host", description="Name or address of the server.", min_length=1, max_length=255)
    port: int = Field(default=3306, title="Port", ge=1, le=65535)
    database: str = Field(
        title="Database", description="Its tables and views are the streams.", min_length=1, max_length=64
    )
    user: str = Field(
        title="User",
        description="A user who may read what you want to extract, and nothing more.",
        min_length=1,
        max_length=128,
    )
    password: str | None = secret_field("Password")
    sslmode: SslMode = Field(
        default="prefer",
        title="Encryption",
        description="prefer: encrypted if the server can. require: refused otherwise. verify-full: the server's "
        "certificate and name are checked too, against the authorities that this machine trusts.",
    )

    @field_validator("host", "database", "user")
    @classmethod
    def _no_null_byte(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must not hold a null character")
        return value
