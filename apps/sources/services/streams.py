"""Streams: declared, changed, removed; and the schemas they have had."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.sources.models import SchemaVersion, Source, Stream
from apps.sources.parameters import InvalidFields
from apps.sources.services.connectors import connector_class, connector_of
from apps.sources.services.judging import judge_again
from apps.sources.services.rules import check_policy, refuse_used
from apps.sources.streams import config_json, configured, merged, refreshed, still_said
from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.errors import ConfigurationError

# Who takes a change over has seen it, unless it is a machine.
PERSONS = ("user", "token")


def declare_stream(source: Source, *, name: str, config: Mapping[str, Any], actor: Actor) -> Stream:
    """Add a stream of one's own: a query, a pattern of files, a table under another name. Raises ManifoldError.

    Columns that are not given are looked up in the source.
    """
    if not name.strip() or len(name) > 200 or "/" in name:
        raise InvalidFields({"name": ["Give it a name of up to 200 characters without a slash."]})
    connector = connector_of(source)
    if config.get("query") and not connector.capabilities.query:
        raise InvalidFields({"query": [f"Sources of the kind {connector.title} take no queries. Leave it out."]})
    wanted = merged(StreamConfig(name), config, type(connector))
    stream = Stream(source=source, name=name)
    if not wanted.columns:
        info = _described(connector, wanted)
        wanted, stream.warnings = refreshed(wanted, info), list(info.warnings)
    stream.config = config_json(wanted)
    stream.seen = stream.config["columns"]
    with acting(actor):
        try:
            with transaction.atomic():
                stream.save(force_insert=True)
        except IntegrityError:
            raise Conflict(f"There is a stream `{name}` already. Choose another name.", code="name_taken") from None
        note_schema(stream, stream.config["columns"])
    return stream


def update_stream(
    stream: Stream,
    *,
    config: Mapping[str, Any],
    actor: Actor,
    drift: str | None = None,
    seen: Sequence[Mapping[str, Any]] | None = None,
    warnings: Sequence[str] = (),
) -> Stream:
    """Change the given parts of a stream's declaration and keep the rest. Raises InvalidFields.

    drift: what a run does when its columns have changed; empty: what its source says. A new one forgets what was
    answered. seen: the columns that were found for this declaration; a run takes no other ones for a change then,
    and of the changes before there is nothing left to decide. Raises Conflict where somebody has declared the stream
    otherwise since it was looked up for that. warnings: what that look had to say, in place of what the one before had;
    without a look, what of that no longer holds is forgotten.
    """
    if drift:
        check_policy(drift)
    with acting(actor):
        stream = _locked(stream, looked_at=seen is not None)
        before = configured(stream)
        connector = connector_class(stream.source.connector)
        wanted = merged(before, config, connector)
        if seen is None:
            wanted, stream.warnings = still_said(before, wanted, stream.warnings, connector)
        else:
            stream.seen, stream.warnings = [dict(each) for each in seen], list(warnings)
        stream.config = config_json(wanted)
        if drift is not None and drift != stream.drift:
            stream.drift, stream.drift_answered = drift, []
        stream.save()
        note_schema(stream, stream.config["columns"])
        if seen is not None:
            _settle_changes(stream, actor)
    return stream


def _locked(stream: Stream, *, looked_at: bool) -> Stream:
    """The stream's row. looked_at: its source was asked how it is to be declared. Raises Conflict where it has been
    declared otherwise since."""
    if looked_at:
        # Its health is judged again: whoever wants both locks a source before its streams.
        Source.objects.select_for_update(no_key=True).get(pk=stream.source_id)
    locked = Stream.objects.select_for_update(of=("self",)).select_related("source__credential").get(pk=stream.pk)
    if looked_at and locked.config != stream.config:
        raise Conflict(
            f"How {stream.name} is declared was changed while its source was looked at, and nothing was saved. "
            "Look at its declaration, and read it so again.",
            code="changed_meanwhile",
        )
    return locked


def delete_stream(stream: Stream, *, actor: Actor, used_by: Sequence[str]) -> None:
    """Remove a stream and what was seen of it. The data that was read stays.

    used_by: the pipelines whose published version reads it, which only the caller, upstairs, can know. Raises Conflict
    while there are any.
    """
    refuse_used(f"The stream {stream.name}", used_by)
    with acting(actor):
        stream.delete()


def note_schema(stream: Stream, columns: list[dict[str, Any]], run: uuid.UUID | None = None) -> SchemaVersion | None:
    """Keep these columns as the stream's newest schema, if they differ from the last one."""
    last = stream.schema_versions.order_by("-number").first()
    if (last is not None and last.columns == columns) or not columns:
        return None
    return SchemaVersion.objects.create(stream=stream, number=last.number + 1 if last else 1, columns=columns, run=run)


def _settle_changes(stream: Stream, actor: Actor) -> None:
    """Leave nothing to decide of what was found changed: the stream was looked at anew, and declared as it is."""
    left = stream.drifts.exclude(state="followed")
    if actor.kind in PERSONS:
        left.filter(seen_at=None).update(seen_at=timezone.now(), seen_by=actor.name[:200])
    if left.update(state="followed", settled_by=actor.name[:200]):
        judge_again(stream.source_id)


def _described(connector: Connector, wanted: StreamConfig) -> StreamInfo:
    describe = getattr(connector, "describe", None)
    if describe is None:
        raise ConfigurationError(
            f"The columns of {wanted.name} are not known. Declare them, or discover the source.", code="columns_missing"
        )
    info: StreamInfo = describe(wanted)
    return info
