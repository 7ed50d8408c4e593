"""Who somebody is that an OpenID Connect issuer vouches for: known by subject, else by verified e-mail, else new."""

from __future__ import annotations

import re
import unicodedata

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.actors import actor_of
from apps.accounts.models import RANK, Identity, Membership, Project, Role, User
from apps.accounts.oidc.flow import Claims
from apps.accounts.services.people import create_user
from apps.accounts.services.projects import remove_membership, set_membership
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict

log = structlog.get_logger(__name__)

# The key of the advisory lock that stands for "who is new here".
_FIRST_SIGN_INS = 0x6D616E696F696463


def admit(claims: Claims, *, invited: bool) -> User:
    """The person of these claims, linked to their subject from now on.

    `invited`: they follow an invitation that is open, so they may be new. Raises Conflict, in words for them, for
    whoever is not let in: an e-mail address that is not verified or of another domain, nobody of that address, several,
    somebody who is kept out, a subject that was unlinked.
    """
    _refuse_other_domains(claims)
    with transaction.atomic():
        known = _known(claims)
        if known is None:
            # Somebody new who comes in two tabs at once is one person.
            _take_turns()
            known = _known(claims)
        user = _still_linked(known) if known is not None else _by_email(claims)
        if user is not None and not user.is_active:
            raise Conflict("This account is switched off. Ask whoever administers Manifold.", code="inactive")
        if user is None:
            user = _new(claims, invited)
        elif known is None:
            _refuse_second_subject(user, claims)
            link(user, claims, actor=actor_of(user))
        Identity.objects.filter(issuer=claims.issuer, subject=claims.subject).update(used_at=timezone.now())
    return user


def link(user: User, claims: Claims, *, actor: Actor) -> Identity:
    """Let a person sign in as this subject; harmless when repeated. Raises Conflict where it is somebody else's.

    One that was unlinked is nobody's.
    """
    with acting(actor):
        found, _ = Identity.objects.select_for_update(no_key=True).get_or_create(
            issuer=claims.issuer, subject=claims.subject, defaults={"user": user, "email": claims.email[:254]}
        )
        if found.unlinked_at is not None:
            found.user, found.email, found.unlinked_at = user, claims.email[:254], None
            found.save(update_fields=["user", "email", "unlinked_at"])
        if found.user_id != user.pk:
            raise Conflict(f"Somebody else here signs in with that account of {settings.OIDC_TITLE}.", code="linked")
        return found


def unlink(identity: Identity, *, actor: Actor) -> None:
    """Let a person sign in by it no more, until it is linked again by hand. Raises Conflict for the last way in."""
    with acting(actor):
        user = User.objects.select_for_update(no_key=True).get(pk=identity.user_id)
        others = Identity.objects.visible_to(user).exclude(pk=identity.pk)
        by_password = user.has_usable_password() and (user.is_superuser or not settings.OIDC_ONLY)
        if not by_password and not others.exists():
            raise Conflict(
                "Nothing would be left to sign in with: no password opens this account.", code="last_identity"
            )
        identity.unlinked_at = timezone.now()
        identity.save(update_fields=["unlinked_at"])


def follow_groups(user: User, claims: Claims) -> None:
    """Make a person's roles those of their groups, in the projects that MANIFOLD_OIDC_GROUPS names.

    A project keeps its last administrator all the same.
    """
    if claims.groups is None:
        log.warning("the issuer does not tell the groups of a person with many; roles stay", user=user.username)
        return
    wanted: dict[str, list[Role]] = {}
    for group, slug, role in settings.OIDC_GROUPS:
        wanted.setdefault(slug, []).extend([Role(role)] if group in claims.groups else [])
    memberships = {each.project.slug: each for each in Membership.objects.filter(user=user).select_related("project")}
    actor = Actor("system", None, f"groups of {settings.OIDC_TITLE}")
    for project in Project.objects.filter(slug__in=wanted):
        roles = wanted[project.slug]
        try:
            if roles:
                set_membership(project, user, role=max(roles, key=RANK.index), actor=actor)
            elif project.slug in memberships:
                remove_membership(project, user, actor=actor)
        except Conflict as error:
            log.warning("a role does not follow the groups", user=user.username, project=project.slug, why=error.code)


def _known(claims: Claims) -> Identity | None:
    return Identity.objects.select_related("user").filter(issuer=claims.issuer, subject=claims.subject).first()


def _take_turns() -> None:
    """Whoever is not known waits here until the one before is in, or is refused."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_SIGN_INS])


def _still_linked(identity: Identity) -> User:
    if identity.unlinked_at is not None:
        raise Conflict(
            f"This account of {settings.OIDC_TITLE} was unlinked here. Sign in with your password and link it again "
            "under your account, or ask a superuser for a password.",
            code="oidc_unlinked",
        )
    return identity.user


def _refuse_second_subject(user: User, claims: Claims) -> None:
    """An address may pass to somebody else at the issuer; the account here does not go along.

    Nor does it where its own link was taken away: what comes by an address then is linked by hand, or not at all.
    """
    if user.identities.filter(issuer=claims.issuer).exists():
        raise Conflict(
            f"Whoever has {claims.email} here signs in with another account of {settings.OIDC_TITLE}. Sign in with "
            "your password and link this one under your account, or ask a superuser.",
            code="oidc_other_subject",
        )


def _refuse_other_domains(claims: Claims) -> None:
    domain = claims.email.rpartition("@")[2].lower()
    if settings.OIDC_DOMAINS and domain not in settings.OIDC_DOMAINS:
        raise Conflict(
            f"Only e-mail addresses of {', '.join(settings.OIDC_DOMAINS)} are let in here, and "
            f"{settings.OIDC_TITLE} vouches for {claims.email or 'none'}.",
            code="oidc_domain",
        )


def _by_email(claims: Claims) -> User | None:
    """Whoever has the address here. An address that the issuer has not verified anybody may have claimed."""
    if not claims.email:
        raise Conflict(
            f"{settings.OIDC_TITLE} has not verified your e-mail address, so nobody can tell whose account is yours. "
            "Have it verified there, or sign in with your password and link it under your account.",
            code="oidc_unverified",
        )
    # PostgreSQL takes a dotless i for an I, which is another address of somebody else.
    alike = User.objects.filter(email__iexact=claims.email)
    found = [each for each in alike if _folded(each.email) == _folded(claims.email)]
    if len(found) > 1:
        raise Conflict(f"Several people here have the address {claims.email}. Ask a superuser.", code="oidc_several")
    return found[0] if found else None


def _folded(email: str) -> str:
    return unicodedata.normalize("NFKC", email).casefold()


def _new(claims: Claims, invited: bool) -> User:
    if not (settings.OIDC_NEW_PEOPLE or invited):
        raise Conflict(
            f"Nobody here has the e-mail address {claims.email}. Ask for an invitation, or a superuser for an account.",
            code="oidc_unknown",
        )
    actor = Actor("anonymous", None, "somebody new")
    with acting(actor):
        user = create_user(username=_free(claims.username), password=None, email=claims.email[:254], actor=actor)
        link(user, claims, actor=actor)
        return user


def _free(wanted: str) -> str:
    """A user name like the one the issuer knows, that nobody has here."""
    plain = re.sub(r"[^\w.+-]", "-", wanted.partition("@")[0], flags=re.ASCII).strip("-")[:140] or "person"
    taken = {
        each.lower() for each in User.objects.filter(username__istartswith=plain).values_list("username", flat=True)
    }
    candidates = [plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3))]
    return next(each for each in candidates if each.lower() not in taken)
