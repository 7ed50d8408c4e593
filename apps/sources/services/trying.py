"""Trying a declaration on a sample of the source, before it is kept; and looking what stands against reading by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from apps.sources.models import Source, Stream
from apps.sources.services.connectors import connector_of
from apps.sources.streams import configured, merged
from dataplane import sampling
from dataplane.connectors.base import Connector, Finding
from dataplane.connectors.schema import StreamConfig
from dataplane.errors import DataError


def try_stream(stream: Stream, *, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run would make of a sample if these parts of the declaration were changed; nothing is kept.

    `error` says why a run would fail; else `rows` would arrive and `rejected` would be set aside. Raises InvalidFields,
    and ManifoldError where the source cannot be asked.
    """
    connector = connector_of(stream.source)
    return tried_json(connector, merged(configured(stream), config, type(connector)))


def tried_json(connector: Connector, config: StreamConfig) -> dict[str, Any]:
    """What a run would make of a sample of a stream that is declared so, or the `error` that it would fail with."""
    try:
        found = sampling.tried(connector, config)
    except DataError as error:
        nothing = {"rows": 0, "rejected": 0, "samples": [], "warnings": [], "file": None, "findings": []}
        return {**nothing, "error": error.as_json()}
    return {**found.as_json(), "findings": [asdict(each) for each in connector.preflight([config])], "error": None}


def preflight(source: Source) -> list[Finding]:
    """What would make reading what is new of a source's streams slow, or lose rows. Raises ManifoldError."""
    streams = [configured(each) for each in source.streams.all()]
    return connector_of(source).preflight([each for each in streams if each.cursor])


def fits(tried: Mapping[str, Any]) -> bool:
    """Whether everything in the sample would arrive."""
    return tried["error"] is None and not tried["rejected"]
