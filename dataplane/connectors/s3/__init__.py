"""Files in a bucket of S3, or of a store that speaks like it."""

from __future__ import annotations

from dataplane.connectors.s3.connector import S3

__all__ = ["S3"]
