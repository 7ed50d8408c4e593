"""APIs that answer GraphQL: queries that people wrote, page by page, and records as rows."""

from __future__ import annotations

from dataplane.connectors.graphql.connector import GraphQL

__all__ = ["GraphQL"]
