"""Writing to the audit log, and proving that nobody else did."""

from __future__ import annotations

import uuid
from typing import Any

from apps.audit.context import Actor
from apps.audit.models import Event


def record(
    verb: str,
    *,
    object_type: str,
    object_id: object,
    object_name: str = "",
    project: uuid.UUID | None = None,
    data: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    actor: Actor | None = None,
) -> Event:
    """Add an event for something that changes no configuration row (those are recorded by trigger).

    It belongs to the caller's transaction, and to whoever acts there unless an `actor` is named.
    """
    return Event.objects.create(
        verb=verb,
        object_type=object_type,
        object_id=str(object_id),
        object_name=object_name[:300],
        project=project,
        data=data or {},
        before=before,
        after=after,
        actor_kind=actor.kind if actor else "",
        actor_id=actor.id if actor else None,
        actor_name=actor.name[:200] if actor else "",
    )
