"""Asking a source over the network, before any transaction begins: what does it hold?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from apps.audit.context import Actor, acting
from apps.audit.services import record
from apps.sources.models import Source, Stream
from apps.sources.services.connectors import binding, connector_class, connector_of
from apps.sources.services.drift import note_look
from apps.sources.services.files import record_files
from apps.sources.services.streams import note_schema
from apps.sources.services.trying import told
from apps.sources.streams import as_declared, config_json, configured, refreshed
from dataplane.cells import rows_of
from dataplane.connectors.base import Connector
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.schema import StreamConfig, StreamInfo


def discover_streams(source: Source, *, actor: Actor, names: Sequence[str] | None = None) -> list[Stream]:
    """Look at the source and keep its streams with their schemas; only the named ones, when names are given.

    A stream that is there already keeps what an operator declared: cursor, filter, chosen columns, changed types, how
    its files are read. Files that are there are recorded as seen. Raises ManifoldError.
    """
    connector = connector_of(source)
    began = time.monotonic()
    found = connector.discover() if names is None else connector.discover_named(names)
    known = None
    if isinstance(connector, FileConnector):
        known = {each.name: configured(each) for each in source.streams.all()}
        # One that was chosen alone is looked at, however long finding it took.
        until = began + connector.patience_for(names) if len(found) > 1 else math.inf
        found = [
            as_declared(known[each.name], each, connector, until=until) if each.name in known else each
            for each in found
        ]
    kept = keep_found(source, found, read_as=known, actor=actor)
    if isinstance(connector, FileConnector):
        listed = connector.listed([configured(each) for each in kept])
        for stream in kept:
            record_files(stream, listed[stream.name])
    return kept


def keep_found(
    source: Source, found: Sequence[StreamInfo], *, read_as: Mapping[str, StreamConfig] | None = None, actor: Actor
) -> list[Stream]:
    """Keep what a look at a source has found as its streams.

    read_as: the declarations by which it read files; how a stream is read stays where that was changed meanwhile.
    """
    kept = []
    with acting(actor):
        Source.objects.select_for_update().get(pk=source.pk)
        known = {each.name: each for each in Stream.objects.select_for_update(no_key=True).filter(source=source)}
        for info in found:
            stream = known.get(info.name)
            if stream is not None and read_as is not None:
                info = _unless_changed(stream, info, read_as.get(info.name))
            kept.append(_keep_stream(source, stream, info, actor))
        record(
            "source discovered",
            object_type="source",
            object_id=source.pk,
            object_name=source.slug,
            project=source.project_id,
            data={"streams": len(kept)},
        )
    return kept


def _unless_changed(stream: Stream, info: StreamInfo, read_as: StreamConfig | None) -> StreamInfo:
    """What was found of a stream; nothing of how its files are read where somebody else declared that meanwhile."""
    if configured(stream).settings == (read_as or info).settings:
        return info
    told = (
        "How its files are read was changed while the source was looked at, so what that found of its columns was not "
        "kept. Find its columns again."
    )
    return replace(info, columns=(), settings={}, warnings=(*info.warnings, told))


def _keep_stream(source: Source, stream: Stream | None, info: StreamInfo, actor: Actor) -> Stream:
    if stream is None:
        stream = Stream(source=source, name=info.name)
    else:
        stream.source = source
        note_look(stream, info.columns, actor=actor)
    if info.columns:
        stream.seen = [asdict(each) for each in info.columns]
    fills = connector_class(source.connector).fills_missing
    stream.config = config_json(refreshed(configured(stream), info, fills_missing=fills))
    stream.rows, stream.bytes = info.rows, info.bytes
    stream.warnings = list(info.warnings)
    stream.save()
    note_schema(stream, stream.config["columns"])
    return stream


def preview_stream(stream: Stream, *, limit: int = 50) -> dict[str, Any]:
    """The first rows of a stream as they would arrive, in the shape `preview`. Raises ManifoldError."""
    return shown_rows(*binding(stream), limit)


def shown_rows(connector: Connector, config: StreamConfig, limit: int) -> dict[str, Any]:
    """The first rows that a connector reads of a stream, in the shape `preview`. Raises ManifoldError.

    `rejected` rows of the part that was looked at for them would be set aside; `samples` are the first of those.
    """
    began = time.monotonic()
    found = connector.previewed(config, limit)
    columns, rows = rows_of(found.table)
    columns = [{**each, "name": config.names.get(each["name"], each["name"])} for each in columns]
    return {
        "columns": columns,
        "rows": rows,
        "row_count": len(rows),
        "truncated": len(rows) >= limit,
        "seconds": round(time.monotonic() - began, 4),
        "bytes_scanned": found.table.nbytes,
        "rejected": found.rejected,
        "samples": told(connector, config, found.samples),
    }
