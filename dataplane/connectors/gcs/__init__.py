"""Files in a bucket of Google Cloud Storage."""

from __future__ import annotations

from dataplane.connectors.gcs.connector import GoogleStorage

__all__ = ["GoogleStorage"]
