"""Files in a container of Azure Blob Storage."""

from __future__ import annotations

from dataplane.connectors.azure_blob.connector import AzureBlob

__all__ = ["AzureBlob"]
