"""Columns of streams that were found changed: kept as news, followed or taken over, and seen by somebody."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, cast

from django.utils import timezone

from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid
from apps.audit.services import record
from apps.sources.models import Drift, Source, Stream
from apps.sources.services.connectors import connector_class
from apps.sources.services.judging import judge_again
from apps.sources.services.streams import PERSONS, note_schema
from apps.sources.streams import config_json, configured, seen_columns
from dataplane import drift as drifts
from dataplane.connectors.schema import Column
from dataplane.drift import Policy


def policy_of(stream: Stream) -> Policy:
    """What a run does when the columns of this stream have changed: its own policy, else its source's."""
    return cast(Policy, stream.drift or stream.source.drift)


def note_drift(stream: Stream, found: drifts.Drift, *, run: uuid.UUID | None, actor: Actor) -> Drift | None:
    """Keep that a read has found other columns; where nobody has to decide, the stream is read so from now on.

    None where somebody else has taken the change over meanwhile, and where these are the first columns that anybody
    finds: those are no change, so they are declared, and what was said of an empty stream holds no more. The same
    change is news once, however many runs stop at it.
    """
    with acting(actor):
        stream = _locked(stream.pk)
        now = [asdict(each) for each in found.now]
        if not drifts.compared(seen_columns(stream), found.now):
            return None
        if found.first:
            _settle_first(stream, found.now, run)
            return None
        state = "stopped" if found.stops else "asked" if found.asks else "followed"
        last = stream.drifts.first()
        if last is not None and last.state != "followed" and last.now == now:
            last.run, last.state = run, state
            last.save(update_fields=["run", "state"])
        else:
            last = Drift.objects.create(stream=stream, run=run, now=now, changes=found.as_json(), state=state)
            data = {"state": state, "policy": policy_of(stream), "changes": [each.said for each in found.changes]}
            _record("schema drift found", stream, data)
        if state == "followed":
            _follow(stream, found.now, {}, run)
            _close_older(last)
        judge_again(stream.source_id)
        return last


def accept_drift(
    drift: Drift, *, renames: Mapping[str, str] | None = None, remember: bool = False, actor: Actor
) -> Stream:
    """Read the stream as it was found from now on. Raises Conflict where that is done, or cannot be, or where another
    change was found since.

    renames: what columns that have gone are called now; they go on arriving under their old names. Raises Invalid for
    one that is not there. remember: runs follow changes of these kinds from now on and ask nobody.
    """
    with acting(actor):
        stream = _locked(drift.stream_id)
        drift = Drift.objects.select_for_update().get(pk=drift.pk)
        if drift.state == "followed":
            raise Conflict("This change has been taken over already.", code="followed")
        younger = stream.drifts.filter(pk__gt=drift.pk)
        if younger.exclude(state="followed").exists():
            raise Conflict(
                f"The columns of {stream.name} have changed again since. Take over the newest change of the stream.",
                code="changed_again",
            )
        # Once a change that was followed left those before it open, and the runs that wait for them.
        newer = younger.first()
        now = seen_columns(stream) if newer else tuple(Column(**each) for each in drift.now)
        chosen = _checked(stream, now, renames or {})
        if newer:
            _close_older(newer)
        else:
            _refuse_without_cursor(stream, now)
            _follow(stream, now, chosen, drift.run)
            drift.state, drift.renames, drift.settled_by = "followed", chosen, actor.name[:200]
            if actor.kind in PERSONS:
                _see(drift, actor)
            drift.save()
            _close_older(drift)
        if remember:
            stream.drift_answered = sorted({*stream.drift_answered, *(each["kind"] for each in drift.changes)})
            stream.save(update_fields=["drift_answered", "changed_at"])
        _record("schema drift taken over", stream, {"renames": chosen, "remember": remember})
        judge_again(stream.source_id)
        return stream


def refuse_drift(drift: Drift, *, actor: Actor) -> None:
    """Somebody has decided that the stream is not to be read so: the run stops, and the next one asks again."""
    with acting(actor):
        Drift.objects.filter(pk=drift.pk, state="asked").update(state="stopped")


def mark_seen(stream: Stream, *, actor: Actor) -> None:
    """The changes of a stream are news no more, so they are no reason to warn of its source."""
    with acting(actor):
        stream = _locked(stream.pk)
        news = list(stream.drifts.filter(seen_at__isnull=True))
        for each in news:
            _see(each, actor)
            each.save(update_fields=["seen_at", "seen_by"])
        if news:
            _record("schema drift seen", stream, {"changes": sum(len(each.changes) for each in news)})
            judge_again(stream.source_id)


def note_look(stream: Stream, now: Iterable[Column], *, actor: Actor) -> None:
    """Somebody has looked at the source and taken over what it has: kept beside what runs have found."""
    columns = tuple(now)
    seen, beside = seen_columns(stream), connector_class(stream.source.connector).beside
    changes = drifts.compared(seen, columns) if columns and stream.config.get("columns") else ()
    if changes and not drifts.are_first(seen, columns, beside):
        found = drifts.Drift(columns, changes)
        row = Drift(stream=stream, now=[asdict(each) for each in columns], changes=found.as_json(), state="followed")
        row.settled_by = actor.name[:200]
        if actor.kind in PERSONS:
            _see(row, actor)
        row.save(force_insert=True)
        _close_older(row)


def _locked(stream: uuid.UUID) -> Stream:
    """The stream, locked behind its source: whoever looks at a source locks it first, and then its streams."""
    Source.objects.select_for_update(no_key=True).get(streams=stream)
    rows = Stream.objects.select_for_update(no_key=True, of=("self",)).select_related("source__credential")
    return rows.get(pk=stream)


def _settle_first(stream: Stream, now: tuple[Column, ...], run: uuid.UUID | None) -> None:
    """Declare a stream as its first records are, unless another run has found them first."""
    if drifts.are_first(seen_columns(stream), now, connector_class(stream.source.connector).beside):
        stream.warnings = []
        _follow(stream, now, {}, run)
        _record("stream columns found", stream, {"columns": [f"{each.name} {each.type}" for each in now]})


def _follow(stream: Stream, now: tuple[Column, ...], renames: Mapping[str, str], run: uuid.UUID | None) -> None:
    """Declare the stream as it is now."""
    fills = connector_class(stream.source.connector).fills_missing
    wanted = drifts.followed(configured(stream), seen_columns(stream), now, fills_missing=fills, renames=renames)
    stream.config, stream.seen = config_json(wanted), [asdict(each) for each in now]
    stream.save()
    note_schema(stream, stream.config["columns"], run)


def _checked(stream: Stream, now: tuple[Column, ...], renames: Mapping[str, str]) -> dict[str, str]:
    """Raises Invalid for a column that has not gone, or one that is not new."""
    before, after = {each.name for each in seen_columns(stream)}, {each.name for each in now}
    for old, new in renames.items():
        if old not in before - after:
            gone = ", ".join(sorted(before - after)) or "none"
            raise Invalid("renames", f"The column {old} has not gone. Gone are: {gone}.", code="not_gone")
        if new not in after - before:
            new_ones = ", ".join(sorted(after - before)) or "none"
            raise Invalid("renames", f"The column {new} is not new. New are: {new_ones}.", code="not_new")
    if len(set(renames.values())) < len(renames):
        raise Invalid("renames", "One new column cannot be two that have gone. Name each once.", code="twice")
    return dict(renames)


def _refuse_without_cursor(stream: Stream, now: tuple[Column, ...]) -> None:
    cursor = stream.config.get("cursor")
    if cursor and cursor not in {each.name for each in now}:
        raise Conflict(
            f"The cursor {cursor} of {stream.name} has gone. Choose another cursor on the stream's page first.",
            code="cursor_lost",
        )


def _close_older(followed: Drift) -> None:
    """What was found before a change that is followed now is part of it: there is nothing left to decide."""
    older = followed.stream.drifts.filter(pk__lt=followed.pk).exclude(state="followed")
    older.filter(seen_at=None).update(seen_at=followed.seen_at, seen_by=followed.seen_by)
    older.update(state="followed", settled_by=followed.settled_by)


def _see(drift: Drift, actor: Actor) -> None:
    drift.seen_at, drift.seen_by = timezone.now(), actor.name[:200]


def _record(verb: str, stream: Stream, data: dict[str, Any]) -> None:
    record(
        verb,
        object_type="stream",
        object_id=stream.pk,
        object_name=str(stream),
        project=stream.source.project_id,
        data=data,
    )
