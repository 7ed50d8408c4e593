"""Every write on users, projects, memberships and tokens.

Who may do it is asked at the doors; what must hold, here.
"""

from __future__ import annotations

import re
import secrets
import string
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.models import RANK, ApiToken, Membership, Project, Role, User
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict, Invalid

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_USERNAME = re.compile(r"[\w.@+-]{1,150}")
_PASSWORD_LETTERS = string.ascii_letters + string.digits
# The key of the advisory lock that stands for "who administers the platform".
_SUPERUSERS = 0x6D616E69666F6C64


def create_user(*, username: str, password: str, email: str = "", superuser: bool = False, actor: Actor) -> User:
    """A person who can sign in. Raises Conflict for a taken name, Invalid for a name or password that will not do."""
    if not _USERNAME.fullmatch(username):
        raise Invalid("username", "Use letters, digits and @ . + - _ only, at most 150.")
    with acting(actor):
        if User.objects.filter(username__iexact=username).exists():
            raise Conflict(f"There is a user `{username}` already. Choose another name.", code="username_taken")
        user = User(username=username, email=email, is_superuser=superuser, is_staff=superuser)
        _set_password(user, password)
        user.save()
        return user


def change_password(user: User, *, password: str, actor: Actor) -> None:
    """A new password; sessions that were opened with the old one end. Raises Invalid when it is too weak."""
    with acting(actor):
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _set_password(locked, password)
        locked.save(update_fields=["password"])
    user.password = locked.password


def set_active(user: User, *, active: bool, actor: Actor) -> User:
    """Let a person in, or keep them out. Raises Conflict for the last one who administers the platform."""
    with acting(actor):
        _lock_superusers()
        locked: User = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
        if not active and locked.is_superuser and not others.exists():
            raise Conflict("This is the last superuser. Let somebody else administer first.", code="last_superuser")
        if locked.is_active != active:
            locked.is_active = active
            locked.save(update_fields=["is_active"])
        return locked


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


@dataclass(frozen=True)
class FirstAdmin:
    """Who can sign in. Password and token are known only in the moment they are made."""

    username: str
    password: str | None
    token: str | None


def ensure_first_admin(*, actor: Actor) -> FirstAdmin:
    """Make sure that there is the project `default` and somebody who administers the platform.

    An installation that has a superuser is left as it is. Harmless when repeated, and when two do it at once.
    """
    with acting(actor):
        _lock_superusers()
        known = User.objects.filter(is_superuser=True, is_active=True).order_by("id").first()
        if known is not None:
            return FirstAdmin(known.username, None, None)
        password = "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(20))
        username = (
            "admin" if not User.objects.filter(username__iexact="admin").exists() else f"admin-{uuid.uuid4().hex[:6]}"
        )
        admin = create_user(username=username, password=password, superuser=True, actor=actor)
        project = Project.objects.filter(slug="default").first()
        if project is None:
            create_project(slug="default", name="Default", admin=admin, actor=actor)
        else:
            set_membership(project, admin, role=Role.ADMIN, actor=actor)
        _, token = issue_token(admin, name="manifold command", actor=actor)
        return FirstAdmin(username, password, token)


def expiry(days: int | None) -> datetime | None:
    """When a token that lasts so many days ends."""
    return None if days is None else timezone.now() + timedelta(days=days)


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("password", " ".join(error.messages), code="password_too_weak") from error
    user.set_password(password)


def _lock_superusers() -> None:
    """Two first starts on one database make one administrator; two who deactivate each other leave one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SUPERUSERS])


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
