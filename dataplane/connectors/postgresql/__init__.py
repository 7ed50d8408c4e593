"""PostgreSQL: tables, views and queries, whole or by a cursor column, each type without silent loss."""

from __future__ import annotations

from dataplane.connectors.postgresql.connector import PostgreSQL

__all__ = ["PostgreSQL"]
