"""What an operator enters to reach a server, whatever its product."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dataplane.connectors.databases.params import ServerParams
from dataplane.connectors.fields import said


class WarehouseParams(ServerParams):
    """Address, sign-in, and which schemas are looked at."""

    user: str = Field(
        title="User",
        description="A user who may read what you want to extract, and nothing more.",
        min_length=1,
        max_length=255,
        json_schema_extra=said("Sign in"),
    )
    schemas: tuple[str, ...] = Field(
        default=(),
        title="Schemas",
        description="Only these schemas are looked at; none named: all but the system's.",
        json_schema_extra=said("Reading"),
    )

    @property
    def about(self) -> dict[str, object]:
        """What errors tell of it, and what they must not tell."""
        return {
            "host": self.host,
            "user": self.user,
            "database": self.database,
            "secrets": (self.password,),
        }


class HttpParams(WarehouseParams):
    """The same for a product that is asked over HTTP."""

    sslmode: Literal["disable", "verify-full"] = Field(
        default="disable",
        title="Encryption",
        description="verify-full: encrypted, and the server's certificate and name are checked.",
    )

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.sslmode == 'disable' else 'https'}://{host}:{self.port}/"
