"""Adding a source: tried, looked into and sampled while nothing is stored; then it is stored whole, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.accounts.models import Project
from apps.audit.context import Actor, acting
from apps.sources.models import Credential, Source
from apps.sources.parameters import InvalidFields, checked, refuse_idle
from apps.sources.services.asking import keep_found, shown_rows
from apps.sources.services.connectors import connector_class, connector_of
from apps.sources.services.files import record_files
from apps.sources.services.sources import create_source, with_credential
from apps.sources.services.streams import update_stream
from apps.sources.services.testing import Answer, Asking, keep_tested
from apps.sources.services.trying import tried_json
from apps.sources.streams import merged, refreshed
from dataplane.connectors.base import Connector
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.errors import ConfigurationError


@dataclass(frozen=True)
class Chosen:
    """A stream that is wanted. config: parts of its declaration; types: of single columns, by their names."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)


def draft_source(
    project: Project, *, connector: str, params: Mapping[str, Any], credential: Credential | None = None
) -> Source:
    """A source that is stored nowhere, for the functions below. Raises InvalidFields."""
    kind = connector_class(connector)
    whole = with_credential(params, credential, kind)
    refuse_idle(kind, checked(kind, whole), params)
    return Source(project=project, connector=connector, params=dict(whole))


def try_source(draft: Source) -> Answer:
    """The stages of a test of a draft. Never raises ManifoldError."""
    return Asking(draft).answer()


def look_again(draft: Source, chosen: Chosen) -> StreamInfo:
    """A stream of a draft, read by other settings than were found. Raises InvalidFields and ManifoldError."""
    return _looked_at(connector_of(draft), [chosen])[0]


def offered_streams(draft: Source, names: Sequence[str] | None = None) -> list[StreamInfo]:
    """What a draft holds now, or only these streams of it. Raises ManifoldError."""
    connector = connector_of(draft)
    return connector.discover() if names is None else _named(connector, names)


def sample_stream(draft: Source, chosen: Chosen, *, limit: int = 20) -> dict[str, Any]:
    """A stream of a draft as it would be declared, its first rows, and what a run would make of a larger sample.

    Raises InvalidFields, and ManifoldError where the place cannot be asked.
    """
    connector = connector_of(draft)
    config = _declared(connector, _looked_at(connector, [chosen])[0], chosen)
    tried = tried_json(connector, config)
    rows = None if tried["error"] else shown_rows(connector, config, limit)
    return {"columns": [vars(each) for each in config.columns], "rows": rows, "tried": tried}


def add_source(
    project: Project,
    *,
    slug: str,
    title: str,
    connector: str,
    params: Mapping[str, Any],
    streams: Sequence[Chosen],
    actor: Actor,
    credential: Credential | None = None,
    **options: Any,
) -> Source:
    """Test a source, look for its streams, and store it with them in one transaction. options: of `create_source`.

    Raises ManifoldError where the test fails, InvalidFields, or Conflict; then nothing is stored.
    """
    draft = draft_source(project, connector=connector, params=params, credential=credential)
    answer = _tested(draft)
    reader = connector_of(draft)
    wanted = {each.name: each for each in streams}
    found = _looked_at(reader, streams)
    configs = {each.name: _declared(reader, each, wanted[each.name]) for each in found}
    listed = reader.listed(list(configs.values())) if isinstance(reader, FileConnector) else {}
    with acting(actor):
        source = create_source(
            project,
            slug=slug,
            title=title,
            connector=connector,
            params=params,
            credential=credential,
            actor=actor,
            **options,
        )
        keep_tested(source, answer, actor=actor)
        for stream in keep_found(source, found, actor=actor):
            changes = _changes(configs[stream.name], wanted[stream.name])
            kept = update_stream(stream, config=changes, actor=actor) if changes else stream
            record_files(kept, listed.get(stream.name, ()))
    return source


def _tested(draft: Source) -> Answer:
    """The test of a source. Raises ManifoldError where it fails."""
    answer = try_source(draft)
    failed = next((each for each in answer.stages if not each.ok), None)
    if failed is not None:
        raise failed.error or ConfigurationError(failed.detail, code="test_failed")
    return answer


def _named(connector: Connector, names: Sequence[str]) -> list[StreamInfo]:
    """These streams. Raises InvalidFields for one that is not there."""
    found = connector.discover_named(names)
    missing = [name for name in names if name not in {each.name for each in found}]
    if missing:
        mended = "Check how it is written, and that the source's user may read it."
        raise InvalidFields({"streams": [f"There is no stream {', '.join(missing)} now. {mended}"]})
    return found


def _looked_at(connector: Connector, wanted: Sequence[Chosen]) -> list[StreamInfo]:
    """These streams; where other settings were chosen, files have the columns that they have when they are read so."""
    given = {each.name: each.config.get("settings") for each in wanted}
    found = _named(connector, list(given))
    if not isinstance(connector, FileConnector):
        return found
    return [_looked_again(connector, each, given[each.name] or {}) for each in found]


def _looked_again(connector: FileConnector, info: StreamInfo, settings: Mapping[str, Any]) -> StreamInfo:
    """Raises InvalidFields for settings that no run could read by."""
    if not settings:
        return info
    wanted = merged(refreshed(StreamConfig(info.name), info), {"settings": settings}, type(connector))
    return connector.looked_again(info, {name: wanted.settings[name] for name in settings})


def _declared(connector: Connector, info: StreamInfo, chosen: Chosen) -> StreamConfig:
    """A discovered stream with what was chosen for it. Raises InvalidFields."""
    found = merged(refreshed(StreamConfig(info.name), info), chosen.config, type(connector))
    unknown = sorted(set(chosen.types) - {each.name for each in found.columns})
    if unknown:
        raise InvalidFields({"streams": [f"{info.name} has no column {', '.join(unknown)}."]})
    columns = [vars(replace(each, type=chosen.types.get(each.name, each.type))) for each in found.columns]
    return merged(found, {"columns": columns}, type(connector)) if chosen.types else found


def _changes(config: StreamConfig, chosen: Chosen) -> dict[str, Any]:
    """What of a declaration was chosen, whole."""
    columns = {"columns": [vars(each) for each in config.columns]} if chosen.types else {}
    return {**chosen.config, **columns}
