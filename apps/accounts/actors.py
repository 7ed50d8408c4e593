"""From whoever is signed in to the actor of the audit log."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import User
from apps.audit.context import Actor


def actor_of(user: Any) -> Actor:
    """The person, or the token they sent: `ann`, `ann/nightly-job`. Raises TypeError for nobody."""
    if not isinstance(user, User):
        raise TypeError("Nobody is signed in: there is no actor.")
    if user.token is not None:
        return Actor("token", user.token.pk, f"{user.username}/{user.token.name}")
    return Actor("user", user.pk, user.username)
