"""Collections of a MongoDB database."""

from __future__ import annotations

from dataplane.connectors.mongodb.connector import MongoDB

__all__ = ["MongoDB"]
