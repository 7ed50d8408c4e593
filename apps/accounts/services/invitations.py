"""Invitations: a link that lets one person join a project, once.

Whoever has the link may use it, so it is as good as a password: 256 random bits, a keyed digest, an end.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.actors import actor_of
from apps.accounts.models import Invitation, Membership, Project, Role, User
from apps.accounts.services.people import create_user
from apps.accounts.services.projects import set_membership
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid

DEFAULT_DAYS = 7
LONGEST_DAYS = 90


def invite(
    project: Project, *, name: str, role: Role, days: int = DEFAULT_DAYS, actor: Actor
) -> tuple[Invitation, str]:
    """An invitation and what stands in its link, which nobody can show again. `name` says for whom it is."""
    if not name.strip():
        raise Invalid("name", "Say for whom it is, so that others know whom they let in.")
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid("days", f"Let it last between 1 and {LONGEST_DAYS} days.")
    text = tokens.new_invitation()
    with acting(actor):
        invitation = Invitation.objects.create(
            project=project,
            role=role,
            name=name.strip()[:200],
            digest=tokens.invitation_digest(text),
            expires_at=timezone.now() + timedelta(days=days),
        )
    return invitation, text


def withdraw_invitation(invitation: Invitation, *, actor: Actor) -> Invitation:
    """Make a link useless at once; harmless when repeated. Raises Conflict where somebody has joined with it."""
    with acting(actor):
        locked = Invitation.objects.select_for_update(no_key=True).get(pk=invitation.pk)
        if locked.accepted_at is not None:
            raise Conflict("Somebody has joined with it already. Remove the member instead.", code="invitation_used")
        if locked.withdrawn_at is None:
            locked.withdrawn_at = timezone.now()
            locked.save(update_fields=["withdrawn_at"])
        return locked


def open_invitation(text: str) -> Invitation:
    """The invitation of a link. Raises Conflict, in words for whoever follows it, where it opens nothing any more."""
    found = Invitation.objects.select_related("project").filter(digest=tokens.invitation_digest(text)).first()
    if found is None:
        raise Conflict("This invitation is not known. Is the link complete?", code="invitation_unknown")
    return _good(found)


def join(text: str, user: User, *, actor: Actor) -> Membership:
    """Let somebody who has an account join by a link. Raises Conflict for a spent link, a member, a limited token."""
    if user.token is not None and user.token.project_id is not None:
        raise Conflict("A token that is limited to a project joins no other. Sign in to join.", code="token_too_strong")
    with acting(actor):
        invitation = _taken(text)
        if user.memberships.filter(project=invitation.project).exists():
            raise Conflict(f"You are a member of {invitation.project.name} already.", code="member_already")
        return _enter(invitation, user, actor)


def sign_up(text: str, *, username: str, password: str) -> Membership:
    """A new person by a link, with the password they chose. Raises Conflict and Invalid as `create_user` does."""
    if settings.OIDC_ONLY:
        raise Conflict(f"Accounts come from {settings.OIDC_TITLE} here. Sign in with it, and join.", code="oidc_only")
    invited = Actor("anonymous", None, "somebody invited")
    with acting(invited):
        invitation = _taken(text)
        user = create_user(username=username, password=password, actor=invited)
        return _enter(invitation, user, actor_of(user))


def _taken(text: str) -> Invitation:
    """The invitation, locked: two who follow one link do not both join."""
    open_invitation(text)
    rows = Invitation.objects.select_for_update(no_key=True, of=("self",)).select_related("project")
    return _good(rows.get(digest=tokens.invitation_digest(text)))


def _enter(invitation: Invitation, user: User, actor: Actor) -> Membership:
    with acting(actor):
        membership = set_membership(invitation.project, user, role=Role(invitation.role), actor=actor)
        invitation.accepted_at, invitation.accepted_by = timezone.now(), user
        invitation.save(update_fields=["accepted_at", "accepted_by"])
        return membership


def _good(invitation: Invitation) -> Invitation:
    ask = "Ask whoever sent it for another."
    if invitation.accepted_at is not None:
        raise Conflict(f"Somebody has joined with this invitation already. {ask}", code="invitation_used")
    if invitation.withdrawn_at is not None:
        raise Conflict(f"This invitation was withdrawn. {ask}", code="invitation_withdrawn")
    if invitation.expires_at <= timezone.now():
        raise Conflict(f"This invitation has expired. {ask}", code="invitation_expired")
    return invitation
