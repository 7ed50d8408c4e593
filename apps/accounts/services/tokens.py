"""API tokens: issued once, never stronger than what one came with, revoked at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.models import RANK, ApiToken, Project, Role, User
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid


def issue_token(
    user: User,
    *,
    name: str,
    role: Role = Role.ADMIN,
    project: Project | None = None,
    expires_at: datetime | None = None,
    actor: Actor,
) -> tuple[ApiToken, str]:
    """A new token and its text, which nobody can show again.

    Whoever came with a token gets no stronger one: not a higher role, not more projects, not a longer life. Raises
    Conflict for that, and for a project the user is no member of.
    """
    if not name.strip():
        raise Invalid("name", "Give the token a name that says where it is used.")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("expires_at", "Choose a time that is still to come.")
    _no_stronger(user.token, role, project, expires_at)
    if project is not None and not user.memberships.filter(project=project).exists():
        raise Conflict(f"{user.username} is not a member of {project.slug}.", code="not_a_member")
    text = tokens.new_token()
    with acting(actor):
        token = ApiToken.objects.create(
            user=user,
            project=project,
            name=name.strip()[:100],
            role=role,
            digest=tokens.digest(text),
            hint=tokens.hint(text),
            expires_at=expires_at,
        )
    return token, text


def revoke_token(token: ApiToken, *, actor: Actor) -> ApiToken:
    """Make a token useless at once; harmless when repeated."""
    with acting(actor):
        locked = ApiToken.objects.select_for_update(no_key=True).get(pk=token.pk)
        if locked.revoked_at is None:
            locked.revoked_at = timezone.now()
            locked.save(update_fields=["revoked_at"])
        return locked


def expiry(days: int | None) -> datetime | None:
    """When a token that lasts so many days ends."""
    return None if days is None else timezone.now() + timedelta(days=days)


def _no_stronger(came_with: ApiToken | None, role: Role, project: Project | None, expires_at: datetime | None) -> None:
    if came_with is None:
        return
    wider = came_with.project_id is not None and (project is None or project.pk != came_with.project_id)
    higher = RANK.index(role) > RANK.index(Role(came_with.role))
    longer = came_with.expires_at is not None and (expires_at is None or expires_at > came_with.expires_at)
    if wider or higher or longer:
        raise Conflict(
            "A token cannot issue a stronger one: no higher role, no other project, no longer life. "
            "Sign in to the console to issue it.",
            code="token_too_strong",
        )
