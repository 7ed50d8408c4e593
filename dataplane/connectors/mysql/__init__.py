"""MySQL and MariaDB: tables, views and queries, whole or by a cursor column, each type without silent loss."""

from __future__ import annotations

from dataplane.connectors.mysql.connector import MySQL

__all__ = ["MySQL"]
