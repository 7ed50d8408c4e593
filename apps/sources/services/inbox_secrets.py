"""The secrets that events of an inbox are signed with: made, changed over, dropped."""

from __future__ import annotations

from apps.accounts import signed
from apps.audit.context import Actor
from apps.audit.refusals import Conflict
from apps.sources.models import Source
from apps.sources.services.credentials import opened
from apps.sources.services.inbox import must_take_events
from apps.sources.services.sources import update_source


def rotate_secret(source: Source, *, actor: Actor) -> str:
    """A new secret for a source of inbound webhooks, not shown again; the one before holds, too. Raises Conflict."""
    must_take_events(source)
    text = signed.new_secret()
    before = _opened(source).get("secret")
    update_source(source, params={"secret": text, "previous": before}, actor=actor)
    return text


def drop_previous_secret(source: Source, *, actor: Actor) -> None:
    """Refuse events that are signed with the secret before. Raises Conflict where there is none."""
    must_take_events(source)
    if "previous" not in _opened(source):
        raise Conflict("There is no secret before the one that holds.", code="no_previous_secret")
    update_source(source, params={"previous": None}, actor=actor)


def _opened(source: Source) -> dict[str, str]:
    """Its secrets as they are now, whenever the source was looked at."""
    return opened(Source.objects.select_related("credential").get(pk=source.pk).credential)
