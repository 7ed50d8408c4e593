"""Projects, and who is in them as what."""

from __future__ import annotations

import re

from django.utils import timezone

from apps.accounts.models import ApiToken, Membership, Project, Role, User
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def create_project(*, slug: str, name: str, admin: User, actor: Actor) -> Project:
    """A project with its first administrator. Raises Conflict for a taken slug, Invalid for one that will not do."""
    if not _SLUG.fullmatch(slug):
        raise Invalid("slug", "Use small letters, digits and hyphens, at most 63, beginning with a letter or digit.")
    with acting(actor):
        if Project.objects.filter(slug=slug).exists():
            raise Conflict(f"There is a project `{slug}` already. Choose another slug.", code="slug_taken")
        project = Project.objects.create(slug=slug, name=name.strip() or slug)
        Membership.objects.create(project=project, user=admin, role=Role.ADMIN)
        return project


def set_membership(project: Project, user: User, *, role: Role, actor: Actor) -> Membership:
    """Make `user` a member in this role. Raises Conflict where the project would be left without an administrator."""
    with acting(actor):
        _lock_members(project)
        membership = Membership.objects.filter(project=project, user=user).first()
        if membership is None:
            return Membership.objects.create(project=project, user=user, role=role)
        if membership.role != role:
            if role != Role.ADMIN:
                _keep_an_admin(membership)
            membership.role = role
            membership.save(update_fields=["role"])
        return membership


def remove_membership(project: Project, user: User, *, actor: Actor) -> None:
    """End a membership, and the tokens of that user that are limited to the project.

    Raises Conflict where the project would be left without an administrator, or the user is no member.
    """
    with acting(actor):
        _lock_members(project)
        membership = Membership.objects.filter(project=project, user=user).first()
        if membership is None:
            raise Conflict(f"{user.username} is not a member of {project.slug}.", code="not_a_member")
        _keep_an_admin(membership)
        ApiToken.objects.filter(project=project, user=user, revoked_at__isnull=True).update(revoked_at=timezone.now())
        membership.delete()


def _lock_members(project: Project) -> None:
    """Two administrators who remove each other at once must not both succeed."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _keep_an_admin(membership: Membership) -> None:
    others = Membership.objects.filter(project=membership.project_id, role=Role.ADMIN, user__is_active=True)
    if membership.role == Role.ADMIN and not others.exclude(pk=membership.pk).exists():
        raise Conflict(
            "This is the last administrator of the project. Make somebody else an administrator first.",
            code="last_admin",
        )
