"""Trying a declaration on a sample of the source, before it is kept; and looking what stands against reading by it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from apps.audit.context import Actor
from apps.sources.models import Source, Stream
from apps.sources.parameters import InvalidFields
from apps.sources.services.connectors import connector_of
from apps.sources.services.streams import update_stream
from apps.sources.streams import configured, merged, names_kept, seen_columns, types_kept
from dataplane import sampling
from dataplane.connectors.base import Connector, Finding
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.settings import format_of, implied, settings_of
from dataplane.connectors.files.sniff import DIALECT, VALUES
from dataplane.connectors.reading import Rejected
from dataplane.connectors.schema import StreamConfig, StreamInfo
from dataplane.errors import ConfigurationError, DataError

# Formats whose rows are told by their lines; a record of JSON may stretch over many.
_LINES = ("csv", "tsv", "fixed", "ndjson")


def try_stream(stream: Stream, *, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run would make of a sample if these parts of the declaration were changed; nothing is kept.

    `error` says why a run would fail; else `rows` would arrive and `rejected` would be set aside. Raises InvalidFields,
    and ManifoldError where the source cannot be asked.
    """
    connector = connector_of(stream.source)
    return tried_json(connector, merged(configured(stream), config, type(connector)))


def found_anew(stream: Stream, *, config: Mapping[str, Any], given: Collection[str]) -> StreamInfo:
    """A stream of files as it is found when it is declared so; nothing is kept.

    given: the settings that somebody entered. Where they say where its columns lie, how values are written is found
    anew, unless that was entered, too, or declared before. Raises InvalidFields, and ManifoldError where the source
    cannot be asked.
    """
    connector = connector_of(stream.source)
    declared = configured(stream)
    wanted = merged(declared, config, type(connector))
    if not isinstance(connector, FileConnector):
        raise InvalidFields({"settings": [f"Sources of the kind {connector.title} hold no files."]})
    anew = frozenset[str]() if VALUES.issuperset(given) else _as_found(connector, declared).difference(given)
    if wanted.settings.get("format") != declared.settings.get("format"):
        anew |= DIALECT.difference(given)
    kept = {name: each for name, each in wanted.settings.items() if name not in anew}
    info = connector.looked_again(StreamInfo(stream.name, (), settings=kept), kept)
    if not info.columns:
        pattern = ", ".join(settings_of(wanted).pattern)
        raise InvalidFields({"settings.pattern": [f"No file fits {pattern}, so that nothing tells the columns."]})
    return info


def read_so(
    stream: Stream, *, settings: Mapping[str, Any], anyway: bool = False, dry_run: bool = False, actor: Actor
) -> dict[str, Any]:
    """A stream of files as it is found when it is read by these settings; kept so where everything in a sample fits.

    anyway: kept although rows would be set aside. dry_run: nothing is kept. Raises as `found_anew`.
    """
    settings = implied(settings)
    info = found_anew(stream, config={"settings": settings}, given=settings.keys())
    declared = configured(stream)
    types, was = ({each.name: each.type for each in columns} for columns in (declared.columns, seen_columns(stream)))
    there = {each.name for each in info.columns}
    config = {
        "settings": info.settings,
        "columns": types_kept(info.columns, types, was),
        "select": [each for each in declared.select if each in there],
        "names": names_kept(declared.names, there),
    }
    tried = try_stream(stream, config=config)
    saved = not dry_run and (anyway or fits(tried))
    if saved:
        seen = [asdict(each) for each in info.columns]
        update_stream(stream, config=config, seen=seen, warnings=info.warnings, actor=actor)
    return {
        "settings": info.settings,
        "columns": config["columns"],
        "warnings": list(info.warnings),
        "tried": tried,
        "saved": saved,
    }


def _as_found(connector: FileConnector, config: StreamConfig) -> frozenset[str]:
    """The settings of how values are written that are as its files show them, which nobody has to have declared."""
    others = {name: each for name, each in config.settings.items() if name not in VALUES}
    # Files that cannot be read as they are declared show nothing; what differs from a setting's default stays then.
    with contextlib.suppress(DataError, ConfigurationError):
        others = connector.looked_again(StreamInfo(config.name, (), settings=others), others).settings
    found, declared = settings_of(replace(config, settings=others)), settings_of(config)
    return frozenset(name for name in VALUES if getattr(found, name) == getattr(declared, name))


def tried_json(connector: Connector, config: StreamConfig) -> dict[str, Any]:
    """What a run would make of a sample of a stream that is declared so, or the `error` that it would fail with."""
    try:
        found = sampling.tried(connector, config)
    except DataError as error:
        nothing = {"rows": 0, "rejected": 0, "samples": [], "warnings": [], "file": None, "findings": []}
        return {**nothing, "error": error.as_json()}
    findings = [asdict(each) for each in connector.preflight([config])]
    return {**found.as_json(), "samples": told(connector, config, found.samples), "findings": findings, "error": None}


def told(connector: Connector, config: StreamConfig, rejected: Iterable[Rejected]) -> list[dict[str, Any]]:
    """Rows that would be set aside, each with its `place` as a person is told it."""
    settings = settings_of(config) if isinstance(connector, FileConnector) else None
    found = []
    for each in rejected:
        word = ""
        if settings is not None:
            word = "line " if format_of(each.file or "", settings) in _LINES else "row "
        places = [each.file, None if each.row is None else f"{word}{each.row}"]
        found.append({**asdict(each), "place": ", ".join(place for place in places if place)})
    return found


def preflight(source: Source) -> list[Finding]:
    """What would make reading a source's streams slow, lose rows or fail; those with a cursor are looked at first.

    Raises ManifoldError.
    """
    streams = sorted((configured(each) for each in source.streams.all()), key=lambda each: not each.cursor)
    return connector_of(source).preflight(streams)


def fits(tried: Mapping[str, Any]) -> bool:
    """Whether everything in the sample would arrive."""
    return tried["error"] is None and not tried["rejected"]
