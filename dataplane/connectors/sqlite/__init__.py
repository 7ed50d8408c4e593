"""SQLite: tables and views of a file, whole or by a cursor column, each cell in its declared type or set aside."""

from __future__ import annotations

from dataplane.connectors.sqlite.connector import SQLite

__all__ = ["SQLite"]
