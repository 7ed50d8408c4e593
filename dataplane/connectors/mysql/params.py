"""What an operator enters to reach a database."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dataplane.connectors.databases.params import ServerParams
from dataplane.connectors.fields import said

SslMode = Literal["disable", "prefer", "require", "verify-full"]


class MySQLParams(ServerParams):
    """Address, sign-in and encryption of one database."""

    port: int = Field(
        default=3306, title="Port", description="At most 65353: DuckDB's reader takes no higher one.", ge=1, le=65353
    )
    database: str = Field(
        title="Database", description="Its tables and views are the streams.", min_length=1, max_length=64
    )
    user: str = Field(
        title="User",
        description="A user who may read what you want to extract, and nothing more.",
        min_length=1,
        max_length=128,
        json_schema_extra=said("Sign in"),
    )
    sslmode: SslMode = Field(
        default="prefer",
        title="Encryption",
        description="prefer: encrypted if the server can. require: refused otherwise. verify-full: the server's "
        "certificate and name are checked too, against the authorities that this machine trusts.",
    )
