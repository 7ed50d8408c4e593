"""What an operator enters to reach a database behind a server."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dataplane.connectors.fields import secret_field


class ServerParams(BaseModel):
    """Address and sign-in of one database. A subclass says which port, and how long a name may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(title="Host", description="Name or address of the server.", min_length=1, max_length=255)
    port: int = Field(title="Port", ge=1, le=65535)
    database: str = Field(title="Database", min_length=1)
    user: str = Field(title="User", min_length=1)
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
