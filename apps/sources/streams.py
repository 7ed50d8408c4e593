"""A stream's declaration: how it is kept as JSON, changed in part, and brought up to date with what was discovered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import duckdb
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apps.sources.models import Stream
from apps.sources.parameters import InvalidFields, told
from dataplane.connectors import registry
from dataplane.connectors.base import Connector
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.looking import NOT_LOOKED_AT
from dataplane.connectors.files.settings import settings_of
from dataplane.connectors.files.sniff import DIALECT
from dataplane.connectors.schema import Column, StreamConfig, StreamInfo
from dataplane.drift import kept_apart
from dataplane.errors import ConfigurationError, DataError

# Settings that say which files are read when, and not how.
_NOT_READ_BY = {"when_changed", "by_pattern", "settle_seconds"}


class DeclaredColumn(BaseModel):
    """A column as an operator declares it; `type` is one of DuckDB's."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    type: str = Field(min_length=1, max_length=500)
    nullable: bool = True
    native: str = ""
    warning: str = ""


class Declaration(BaseModel):
    """What may be declared of a stream; what is not given stays as it is."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, Any] | None = None
    columns: list[DeclaredColumn] | None = None
    select: list[str] | None = None
    row_filter: str | None = None
    query: str | None = None
    cursor: str | None = None
    lookback: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    names: dict[str, str] | None = None


def configured(stream: Stream) -> StreamConfig:
    """A stream's declaration as connectors read it."""
    kept = dict(stream.config)
    columns = tuple(Column(**each) for each in kept.pop("columns", ()))
    return StreamConfig(stream.name, columns=columns, select=tuple(kept.pop("select", ())), **kept)


def seen_columns(stream: Stream) -> tuple[Column, ...]:
    """The columns of a stream when the source was last looked at.

    Where nobody has found any yet but those beside every record, those that are declared, too: somebody knew them.
    """
    seen = {each["name"]: each for each in stream.seen}
    if seen.keys() <= {each.name for each in registry.get(stream.source.connector).beside}:
        seen = {each["name"]: each for each in stream.config.get("columns", ())} | seen
    return tuple(Column(**each) for each in seen.values())


def config_json(config: StreamConfig) -> dict[str, Any]:
    """The declaration as it is stored, without the stream's name."""
    kept = asdict(config)
    del kept["name"]
    kept["columns"], kept["select"] = list(kept["columns"]), list(kept["select"])
    return kept


def merged(config: StreamConfig, changes: Mapping[str, Any], connector: type[Connector]) -> StreamConfig:
    """The declaration with some parts changed. `settings` are merged, too. Raises InvalidFields."""
    try:
        given = Declaration.model_validate(dict(changes))
    except ValidationError as error:
        raise InvalidFields(
            {".".join(str(part) for part in each["loc"]): [each["msg"]] for each in error.errors(include_input=False)}
        ) from None
    parts: dict[str, Any] = {name: getattr(given, name) for name in given.model_fields_set}
    if "settings" in parts:
        parts["settings"] = _settings(config, parts["settings"] or {}, connector)
    if "columns" in parts:
        parts["columns"] = _columns(given.columns or [])
    parts["select"] = tuple(parts["select"] or ()) if "select" in parts else config.select
    parts["names"] = (parts["names"] or {}) if "names" in parts else config.names
    parts["lookback"] = (parts["lookback"] or 0.0) if "lookback" in parts else config.lookback
    for name in ("row_filter", "query", "cursor"):
        if name in parts:
            parts[name] = (parts[name] or "").strip() or None
    return _consistent(replace(config, **parts), connector.fills_missing)


def still_said(
    before: StreamConfig, after: StreamConfig, warnings: Sequence[str], connector: type[Connector]
) -> tuple[StreamConfig, list[str]]:
    """A changed declaration, and what a look has said that still holds.

    Nothing does where files are read otherwise now, and nothing of a text of theirs whose type was chosen.
    """
    if connector.family != "file":
        return after, list(warnings)
    otherwise = _read_otherwise(before, after)
    types = {each.name: each.type for each in before.columns}
    changed = {
        each.name: each.warning
        for each in after.columns
        if otherwise or (each.native == "text" and types.get(each.name, each.type) != each.type)
    }
    columns = tuple(replace(each, warning="") if each.name in changed else each for each in after.columns)
    gone = {f"{name}: {warning}" for name, warning in changed.items()}
    return replace(after, columns=columns), [each for each in warnings if not otherwise and each not in gone]


def _read_otherwise(before: StreamConfig, after: StreamConfig) -> bool:
    """Whether files are read in another way; a default that is written out is the same."""
    if before.settings == after.settings:
        return False
    try:
        was, now = (settings_of(each).model_dump(exclude=_NOT_READ_BY) for each in (before, after))
    except ConfigurationError:
        return True
    return was != now


def types_kept(found: Sequence[Column], types: Mapping[str, str], was: Mapping[str, str]) -> list[dict[str, Any]]:
    """Columns that a look has found. A type that somebody chose stays while the type that is found does.

    types: as the columns are declared. was: as they were found before.
    """
    return [
        asdict(each) | ({"type": types.get(each.name, each.type)} if was.get(each.name) == each.type else {})
        for each in found
    ]


def names_kept(names: Mapping[str, str], columns: Iterable[str]) -> dict[str, str]:
    """What columns are called otherwise, of those that are there."""
    there = frozenset(columns)
    return {source: name for source, name in names.items() if source in there}


def refreshed(config: StreamConfig, info: StreamInfo, *, fills_missing: bool = False) -> StreamConfig:
    """The declaration after the source was looked at again.

    A type that an operator chose stays while the column's own type does; new columns are added, and missing ones go.
    Where no column could be seen, like in a file that is damaged, all stay. fills_missing: a column that comes back
    under a name it had is the same; elsewhere it is another one.
    """
    if not info.columns:
        return replace(config, settings={**config.settings, **info.settings})
    before = {each.name: each for each in config.columns}
    columns = tuple(
        replace(each, type=before[each.name].type)
        if each.name in before and before[each.name].native == each.native and before[each.name].type != each.type
        else each
        for each in info.columns
    )
    there = {each.name for each in columns}
    names = config.names
    if before and not fills_missing:
        names = kept_apart(names_kept(names, there), [each for each in columns if each.name not in before])
    return replace(
        config,
        columns=columns,
        names=names,
        settings={**config.settings, **info.settings},
        select=tuple(name for name in config.select if name in there),
        cursor=config.cursor if config.cursor in there else None,
    )


def as_declared(config: StreamConfig, info: StreamInfo, connector: FileConnector, *, until: float) -> StreamInfo:
    """What a look has found of files that are known already, by the settings that are declared.

    Where the declared columns are not among those, only what was found otherwise is told: the columns would be called
    otherwise, and a load would not know them again. until: when, by the monotonic clock, no further files are looked
    into. Raises ConfigurationError.
    """
    declared = settings_of(config).model_dump()
    found = settings_of(StreamConfig(info.name, settings={**config.settings, **info.settings})).model_dump()
    if found == declared:
        return info
    try:
        late = time.monotonic() > until
        seen = _not_read(config, info, NOT_LOOKED_AT) if late else connector.looked_again(info, config.settings)
    except (DataError, ConfigurationError) as error:
        seen = _not_read(config, info, error.message)
    if config.columns and not {each.name for each in seen.columns} & {each.name for each in config.columns}:
        seen = replace(seen, columns=())
    other = [f"`{name}` {json.dumps(found[name])}" for name in sorted(DIALECT) if found[name] != declared[name]]
    if not other:
        return seen
    said = (
        f"The files look like {', '.join(other)} now; they are still read as they are declared. If that is wrong, "
        "change the stream's settings and discover it again."
    )
    return replace(seen, warnings=(*seen.warnings, said))


def _not_read(config: StreamConfig, info: StreamInfo, why: str) -> StreamInfo:
    return replace(info, columns=(), settings=config.settings, warnings=(why,))


def _settings(config: StreamConfig, given: Mapping[str, Any], connector: type[Connector]) -> dict[str, Any]:
    """The declared settings with those given, as their model reads them: of a pattern that is one text a list.

    Raises InvalidFields for one that no run could read by.
    """
    settings, model = {**config.settings, **given}, connector.Settings
    if model is None:
        return settings
    try:
        return settings | model.model_validate(settings).model_dump(mode="json", include=set(given))
    except ValidationError as error:
        faults: dict[str, list[str]] = {}
        for each in error.errors(include_input=False, include_context=False):
            unknown = each["type"] == "extra_forbidden"
            said = f"There is no such setting; there are {', '.join(model.model_fields)}." if unknown else told(each)
            place = ".".join(map(str, ("settings", *each["loc"])))
            faults.setdefault(place, []).append(said.removeprefix("Value error, "))
        raise InvalidFields(faults) from None


def _columns(given: list[DeclaredColumn]) -> tuple[Column, ...]:
    faults: dict[str, list[str]] = {}
    columns: list[Column] = []
    for place, each in enumerate(given):
        try:
            type_ = str(duckdb.sqltype(each.type))
        except duckdb.Error:
            faults[f"columns.{place}.type"] = [f"{each.type!r} is no type of DuckDB's; try VARCHAR, BIGINT or DATE."]
            continue
        if any(each.name == other.name for other in columns):
            faults[f"columns.{place}.name"] = [f"The column {each.name} is declared twice."]
        columns.append(Column(each.name, type_, each.nullable, each.native, each.warning))
    if faults:
        raise InvalidFields(faults)
    return tuple(columns)


def _consistent(config: StreamConfig, fills_missing: bool) -> StreamConfig:
    """Raises InvalidFields where a part names a column that is not declared."""
    there = {each.name for each in config.columns}
    faults: dict[str, list[str]] = {}
    unknown = [name for name in config.select if name not in there]
    if there and unknown:
        faults["select"] = [_no_column(unknown, config)]
    if there and config.cursor and config.cursor not in there:
        faults["cursor"] = [_no_column([config.cursor], config)]
    if there and config.cursor and config.select and config.cursor not in config.select:
        faults["select"] = [f"The cursor {config.cursor} has to be among the chosen columns."]
    if wrong := _wrong_names(config, there, fills_missing):
        faults["names"] = [wrong]
    if faults:
        raise InvalidFields(faults)
    return config


def _no_column(unknown: list[str], config: StreamConfig) -> str:
    there = ", ".join(each.name for each in config.columns[:20])
    return f"There is no column {', '.join(unknown)}. {config.name} has {there}{', …' * (len(config.columns) > 20)}."


def _wrong_names(config: StreamConfig, there: set[str], fills_missing: bool) -> str:
    """Why columns cannot arrive under these names; empty where they can."""
    if unknown := [each for each in config.names if there and each not in there]:
        return _no_column(unknown, config)
    if config.cursor in config.names:
        return f"The cursor {config.cursor} has to keep its name."
    doubled = len(set(config.names.values())) < len(config.names) and not fills_missing
    if doubled or not all(config.names.values()):
        return "Give each column a name of its own."
    return ""
