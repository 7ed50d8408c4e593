"""Every connector by key: one line each. A connector's module, and its driver, is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from dataplane.connectors.base import Connector, Uploaded
from dataplane.connectors.streams.inbox import Inbox
from dataplane.errors import ConfigurationError
from dataplane.oauth import Grant

_CONNECTORS = {
    "local_files": "dataplane.connectors.local_files.LocalFiles",
    "uploads": "dataplane.connectors.uploads.Uploads",
    "http_files": "dataplane.connectors.http_files.HttpFiles",
    "sftp": "dataplane.connectors.sftp.Sftp",
    "ftp": "dataplane.connectors.ftp.Ftp",
    "s3": "dataplane.connectors.s3.S3",
    "azure_blob": "dataplane.connectors.azure_blob.AzureBlob",
    "gcs": "dataplane.connectors.gcs.GoogleStorage",
    "rest": "dataplane.connectors.rest.Rest",
    "graphql": "dataplane.connectors.graphql.GraphQL",
    "kafka": "dataplane.connectors.kafka.Kafka",
    "nats_jetstream": "dataplane.connectors.nats_jetstream.NatsJetStream",
    "redis_streams": "dataplane.connectors.redis_streams.RedisStreams",
    "webhooks": "dataplane.connectors.webhooks.Webhooks",
    "postgresql": "dataplane.connectors.postgresql.PostgreSQL",
    "mysql": "dataplane.connectors.mysql.MySQL",
    "clickhouse": "dataplane.connectors.warehouses.clickhouse.ClickHouse",
    "redshift": "dataplane.connectors.warehouses.redshift.Redshift",
    "snowflake": "dataplane.connectors.warehouses.snowflake.Snowflake",
    "bigquery": "dataplane.connectors.warehouses.bigquery.BigQuery",
    "sqlserver": "dataplane.connectors.warehouses.sqlserver.SQLServer",
    "oracle": "dataplane.connectors.warehouses.oracle.Oracle",
    "trino": "dataplane.connectors.warehouses.trino.Trino",
    "mongodb": "dataplane.connectors.mongodb.MongoDB",
    "sqlite": "dataplane.connectors.sqlite.SQLite",
    "duckdb": "dataplane.connectors.duckdb_file.DuckDBFile",
}


def keys() -> list[str]:
    """The keys of all connectors."""
    return list(_CONNECTORS)


def connectors() -> dict[str, type[Connector]]:
    """All connectors, for lists and forms."""
    return {key: get(key) for key in _CONNECTORS}


def get(key: str) -> type[Connector]:
    """The connector's class. Raises ConfigurationError for an unknown key."""
    path = _CONNECTORS.get(key)
    if path is None:
        raise ConfigurationError(
            f"There is no connector {key!r}; choose one of {', '.join(_CONNECTORS)}.", code="connector_unknown"
        )
    return _imported(path)


def build(
    key: str,
    params: Mapping[str, Any],
    *,
    roots: Sequence[str] = (),
    networks: Sequence[str] = (),
    uploads: Sequence[Uploaded] = (),
    inbox: Inbox | None = None,
    grant: Grant | None = None,
) -> Connector:
    """A connector with its parameters, secrets already opened.

    roots: the folders that file sources may read (MANIFOLD_FILE_ROOTS). networks: the private networks that HTTP may
    reach (MANIFOLD_NET_ALLOW). uploads, inbox: the files and the events that were given to the source. grant: what
    somebody has let it do. Raises ConfigurationError for an unknown key and pydantic's ValidationError for wrong
    parameters.
    """
    connector = get(key)
    checked = connector.Params.model_validate(dict(params))
    return connector(checked, roots=roots, networks=networks, uploads=uploads, inbox=inbox, grant=grant)


@cache
def _imported(path: str) -> type[Connector]:
    module, _, name = path.rpartition(".")
    connector: type[Connector] = getattr(import_module(module), name)
    return connector
