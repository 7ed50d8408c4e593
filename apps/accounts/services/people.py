"""People: who can sign in, with which password, and who administers the platform."""

from __future__ import annotations

import re
import secrets
import string
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction

from apps.accounts import guesses
from apps.accounts.models import Project, Role, User
from apps.accounts.services.projects import create_project, set_membership
from apps.accounts.services.sessions import end_other_sessions
from apps.accounts.services.tokens import issue_token
from apps.audit.context import Actor, acting
from apps.audit.refusals import Busy, Conflict, Invalid

_USERNAME = re.compile(r"[\w.@+-]{1,150}")
_PASSWORD_LETTERS = string.ascii_letters + string.digits
# The key of the advisory lock that stands for "who administers the platform".
_SUPERUSERS = 0x6D616E69666F6C64


def create_user(*, username: str, password: str | None, email: str = "", superuser: bool = False, actor: Actor) -> User:
    """A person who can sign in; without a password, only through the issuer.

    Raises Conflict for a taken name, Invalid for a name or password that will not do.
    """
    if not _USERNAME.fullmatch(username):
        raise Invalid("username", "Use letters, digits and @ . + - _ only, at most 150.")
    with acting(actor):
        taken = Conflict(f"There is a user `{username}` already. Choose another name.", code="username_taken")
        if User.objects.filter(username__iexact=username).exists():
            raise taken
        user = User(username=username, email=email, is_superuser=superuser, is_staff=superuser)
        if password is None:
            user.set_unusable_password()
        else:
            _set_password(user, password)
        try:
            with transaction.atomic():
                user.save()
        except IntegrityError:
            # Somebody else has just taken it.
            raise taken from None
        return user


def new_password() -> str:
    """A password nobody can guess, to be shown once."""
    return "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(20))


def confirm_password(user: User, password: str) -> None:
    """Raises Invalid where this is not the user's password, Busy after too many tries in a minute, even right ones."""
    count, left = guesses.note(f"password:{user.pk}")
    if count > settings.AXES_FAILURE_LIMIT:
        raise Busy(f"Too many passwords were tried. Try again in {left} seconds.", code="too_many_guesses")
    if not count:
        raise Busy("Tries cannot be counted while Redis is away. Try again soon.", code="not_counted")
    if user.check_password(password):
        return
    raise Invalid("current", "This is not your password.", code="wrong_password")


def change_password(user: User, *, password: str, actor: Actor, keep_session: str | None = None) -> None:
    """A new password; sessions end, but for that of this key, and tokens stay. Raises Invalid when it is too weak."""
    with acting(actor):
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _set_password(locked, password)
        locked.save(update_fields=["password"])
        end_other_sessions(locked, keep_session, actor=actor)
    user.password = locked.password


def replace_password(user: User, *, by: User, actor: Actor) -> str:
    """A new password for somebody else who has lost theirs, to be shown once; they are signed out everywhere.

    One's own is changed with the one there is: raises Conflict.
    """
    if user.pk == by.pk:
        raise Conflict("Yours is changed under your account, with the one you have.", code="own_password")
    password = new_password()
    change_password(user, password=password, actor=actor)
    return password


def change_user(
    user: User, *, active: bool | None = None, superuser: bool | None = None, email: str | None = None, actor: Actor
) -> User:
    """Change what is given, all or nothing. By the address the issuer's word opens the account.

    Raises Invalid for an address that is none, Conflict for the last superuser.
    """
    with acting(actor):
        if active is not None:
            set_active(user, active=active, actor=actor)
        if superuser is not None:
            _set_superuser(user, superuser)
        locked: User = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if email is not None and email != locked.email:
            locked.email = _checked(email)
            locked.save(update_fields=["email"])
        return locked


def set_active(user: User, *, active: bool, actor: Actor) -> User:
    """Let a person in, or keep them out. Raises Conflict for the last one who administers the platform."""
    with acting(actor):
        _lock_superusers()
        locked: User = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if not active:
            _keep_a_superuser(locked)
        if locked.is_active != active:
            locked.is_active = active
            locked.save(update_fields=["is_active"])
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
        password = new_password()
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


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("password", " ".join(error.messages), code="password_too_weak") from error
    user.set_password(password)


def _set_superuser(user: User, superuser: bool) -> None:
    _lock_superusers()
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if not superuser:
        _keep_a_superuser(locked)
    if locked.is_superuser != superuser:
        locked.is_superuser = locked.is_staff = superuser
        locked.save(update_fields=["is_superuser", "is_staff"])


def _keep_a_superuser(user: User) -> None:
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if user.is_superuser and user.is_active and not others.exists():
        raise Conflict("This is the last superuser. Let somebody else administer first.", code="last_superuser")


def _checked(email: str) -> str:
    try:
        validate_email(email) if email else None
    except ValidationError as error:
        raise Invalid("email", f"{email} is no e-mail address.") from error
    return email


def _lock_superusers() -> None:
    """Two first starts on one database make one administrator; two who deactivate each other leave one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SUPERUSERS])
