"""What an operator enters to reach a database behind a server."""

from __future__ import annotations

from pydantic import Field, field_validator

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field


class ServerParams(Stated):
    """Address and sign-in of one database. A subclass says which port, and how long a name may be."""

    host: str = Field(
        title="Host",
        description="Name or address of the server.",
        min_length=1,
        max_length=255,
        examples=["db.example.org"],
    )
    port: int = Field(title="Port", ge=1, le=65535)
    database: str = Field(title="Database", min_length=1)
    user: str = Field(title="User", min_length=1, json_schema_extra=said("Sign in"))
    password: str | None = secret_field("Password")

    @field_validator("host", "database", "user", check_fields=False)
    @classmethod
    def _no_null_byte(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must not hold a null character")
        return value

    def scrubbed(self, said: str) -> str:
        """What somebody has said, without the password."""
        return said.replace(self.password, "********") if self.password else said
