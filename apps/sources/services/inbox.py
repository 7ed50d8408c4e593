"""Inbound webhooks: events are kept before they are acknowledged, once each, and removed when they were loaded."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Min, Subquery, Sum, Window
from django.db.models.functions import Coalesce, Length

from apps.accounts import signed
from apps.audit.context import SYSTEM, Actor, acting
from apps.audit.refusals import Busy, Conflict
from apps.sources.models import Inbox, InboxEvent, Source
from apps.sources.services.credentials import opened
from dataplane.connectors.streams.inbox import Received, Standing
from dataplane.connectors.streams.messages import MOST_BYTES
from dataplane.connectors.webhooks import WebhookParams, Webhooks

_AT_ONCE = 10_000
_FULL_SECONDS = 300
_NEARLY = 0.8


@dataclass(frozen=True)
class Kept:
    """The inbox of a source, for its connector."""

    source: uuid.UUID
    standing: Standing

    def look(self) -> Standing:
        return standing_of(self.source)

    def since(self, at: datetime) -> int:
        rows = InboxEvent.objects.filter(source_id=self.source, received_at__gte=at)
        first = rows.aggregate(first=Min("position"))["first"]
        return standing_of(self.source).newest if first is None else first - 1

    def events(self, lower: int, upper: int, most: int) -> Sequence[Received]:
        rows = InboxEvent.objects.filter(source_id=self.source, position__gt=lower, position__lte=upper)
        rows = rows.order_by("position")
        last = Coalesce(Subquery(rows.values("position")[most - 1 : most]), upper)
        # What stands before an event is summed by its length alone, for which the database reads no body.
        before = Window(Sum(Length("body")), order_by="position") - Length("body")
        some = rows.filter(position__lte=last).annotate(before=before).filter(before__lt=MOST_BYTES)
        found = some.values_list("position", "message_id", "received_at", "body")
        return [Received(position, named, at, bytes(body)) for position, named, at, body in found]


def inbox_of(source: Source) -> Kept | None:
    """The events that wait for a source of inbound webhooks; None for sources of other kinds."""
    return Kept(source.pk, standing_of(source.pk)) if source.connector == Webhooks.key else None


def standing_of(source: uuid.UUID) -> Standing:
    """What an inbox holds now."""
    newest = Inbox.objects.filter(pk=source).values_list("position", flat=True).first() or 0
    oldest = InboxEvent.objects.filter(source_id=source, position__lte=newest).aggregate(first=Min("position"))["first"]
    return Standing(newest if oldest is None else oldest - 1, newest)


def receive_event(source: Source, *, body: bytes, headers: Mapping[str, str]) -> bool:
    """Keep an event, and say whether it is new: one of the same id is known already.

    What it says is not looked at before it is read. When this returns, the event is durable. Raises NotSigned where
    its signature fits none of the source's secrets or its time is more than five minutes off, and Busy after too many
    in a minute, or while as many are kept as may be.
    """
    params = WebhookParams.model_validate({**source.params, **opened(source.credential)})
    signed.verify(params.secrets, body, headers, "source")
    # Only what is rightly signed counts here, so that a stranger cannot use up what the sender may send.
    signed.slow_down(f"in:{source.pk}", "to this source", settings.INBOX_EVENTS)
    named = signed.message_id(headers)
    with acting(Actor("webhook", source.pk, source.slug)):
        # Positions follow the order of commits, because whoever comes next waits here: nobody who reads up to one
        # position can miss an event before it.
        Inbox.objects.get_or_create(source=source)
        box = Inbox.objects.select_for_update().get(pk=source.pk)
        if InboxEvent.objects.filter(source=source, message_id=named).exists():
            return False
        if _kept(source.pk) >= settings.INBOX_KEPT:
            raise Busy(
                f"The source keeps {settings.INBOX_KEPT:,} events, and no more fit. Send this one again later.",
                code="inbox_full",
                evidence={"seconds": _FULL_SECONDS},
            )
        box.position += 1
        box.save(update_fields=["position"])
        InboxEvent.objects.create(source=source, position=box.position, message_id=named, body=body)
        return True


def crowded(source: Source) -> str:
    """Why a source is warned of: soon, or already, events are refused for want of room. Empty where it has room."""
    if source.connector != Webhooks.key or (kept := _kept(source.pk)) < settings.INBOX_KEPT * _NEARLY:
        return ""
    return (
        f"It keeps {kept:,} events; from {settings.INBOX_KEPT:,} on it refuses more. Have a published pipeline load "
        "them, keep them for fewer days, or raise MANIFOLD_INBOX_KEPT."
    )


def unsigned(source: Source) -> str:
    """Why a source is warned of that no event can reach: it has no secret. Empty where it has one."""
    if source.connector != Webhooks.key or (source.credential and source.credential.secrets):
        return ""
    return (
        "It receives nothing yet: no secret is set, so every event is refused. Press *Make a new secret* on its page "
        "and give it to the sender, or enter the sender's own."
    )


def _kept(source: uuid.UUID) -> int:
    """How many events are kept; they are too many to be counted with each that comes, and have no gaps."""
    standing = standing_of(source)
    return standing.newest - standing.before


def prune_events(source: Source, *, loaded: int, before: datetime) -> int:
    """Remove events that came before a moment and whose positions are at most `loaded`; how many were removed."""
    rows = InboxEvent.objects.filter(source=source, position__lte=loaded, received_at__lt=before)
    with acting(SYSTEM):
        some = list(rows.order_by("position").values_list("pk", flat=True)[:_AT_ONCE])
        return InboxEvent.objects.filter(pk__in=some).delete()[0]


def must_take_events(source: Source) -> None:
    """Raises Conflict for a source of another kind."""
    if source.connector != Webhooks.key:
        raise Conflict(
            f"The source {source.slug} takes no events. Add one of the kind `webhooks`.", code="takes_no_events"
        )
