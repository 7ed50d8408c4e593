"""APIs that answer with JSON: what is asked, how one is let in, which page comes next, and records as rows."""

from __future__ import annotations

from dataplane.connectors.rest.connector import Rest

__all__ = ["Rest"]
