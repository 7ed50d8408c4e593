"""The secrets that events of an inbox are signed with: made, changed over, dropped."""

from __future__ import annotations

from apps.accounts import signed
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.sources.models import Source
from apps.sources.services.credentials import opened
from apps.sources.services.inbox import must_take_events
from apps.sources.services.sources import update_source


def rotate_secret(source: Source, *, actor: Actor) -> str:
    """A new secret for a source of inbound webhooks, not shown again; the one before holds, too.

    Raises Conflict where there is one before already: the sender may still sign with that.
    """
    must_take_events(source)
    text = signed.new_secret()
    with acting(actor):
        held = _held(source)
        if "previous" in held:
            raise Conflict("Two secrets hold already. Refuse the one before first.", code="too_many_secrets")
        update_source(source, params={"secret": text, "previous": held.get("secret")}, actor=actor)
    return text


def drop_previous_secret(source: Source, *, actor: Actor) -> None:
    """Refuse events that are signed with the secret before. Raises Conflict where there is none."""
    must_take_events(source)
    with acting(actor):
        if "previous" not in _held(source):
            raise Conflict("There is no secret before the one that holds.", code="no_previous_secret")
        update_source(source, params={"previous": None}, actor=actor)


def _held(source: Source) -> dict[str, str]:
    """Its secrets as they are now, whenever the source was looked at; nobody else changes them meanwhile."""
    return opened(Source.objects.select_for_update().get(pk=source.pk).credential)
