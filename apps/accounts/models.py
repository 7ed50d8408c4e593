"""Who there is: users, projects, memberships with a role, and tokens."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import Q

from apps.accounts.sessions import SessionStore
from apps.audit.ids import new_id
from apps.audit.triggers import audited
from apps.audit.visibility import Action, ProjectRow, VisibleQuerySet


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    ADMIN = "admin", "Admin"


ROLES_FOR: dict[Action, tuple[Role, ...]] = {
    "see": (Role.VIEWER, Role.OPERATOR, Role.ADMIN),
    "read": (Role.VIEWER, Role.OPERATOR, Role.ADMIN),
    "operate": (Role.OPERATOR, Role.ADMIN),
    "manage": (Role.ADMIN,),
}
# From the least to the most that one may do.
RANK = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]


class UserQuerySet(VisibleQuerySet["User"]):
    def visible_to(self, user: Any, action: Action = "see") -> UserQuerySet:
        """Oneself, and everybody one shares a project with; everybody for whoever administers the platform."""
        if user.administers_platform():
            return self
        shared = Membership.objects.visible_to(user, action).values("user_id")
        return self.filter(Q(pk=user.pk) | Q(pk__in=shared))


class People(UserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Django's manager of users, with `visible_to`; a class of its own, because migrations name it."""


class User(AbstractUser):
    """A person. A superuser creates projects and users, and is a member only where added."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)

    objects = People()  # type: ignore[misc]

    # The token this user was authenticated with, which narrows what they may do; None for a session.
    token: ApiToken | None = None

    class Meta(AbstractUser.Meta):
        ordering = ["username"]
        triggers = audited(secret=["password"], skip=["last_login"], project="")

    def project_ids(self, action: Action) -> Collection[uuid.UUID]:
        """The projects in which this user, with the token they sent, may do `action`."""
        return self._memberships(action).values_list("project_id", flat=True)

    def role_in(self, project: Project) -> Role | None:
        """What this user, with the token they sent, is in a project; None for no member."""
        roles = self._memberships("see").filter(project=project).values_list("role", flat=True)
        role = next((Role(each) for each in roles), None)
        return None if role is None else self.narrowed(role)

    def narrowed(self, role: Role) -> Role:
        """The role, or that of the token they sent when it is the lesser one."""
        return role if self.token is None else min(role, Role(self.token.role), key=RANK.index)

    def has_second_factor(self) -> bool:
        """Whether a code is asked for at sign-in."""
        factor = getattr(self, "second_factor", None)
        return factor is not None and factor.confirmed_at is not None

    def is_limited(self) -> bool:
        """Whether they came with a token that stands for less than the whole person: one project, or a lesser role."""
        return self.token is not None and (self.token.project_id is not None or self.token.role != Role.ADMIN)

    def administers_platform(self) -> bool:
        """Whether this is a superuser, not narrowed by a token to a project or a lesser role."""
        return self.is_active and self.is_superuser and not self.is_limited()

    def _memberships(self, action: Action) -> models.QuerySet[Membership]:
        if not self.is_active or (self.token is not None and self.token.role not in ROLES_FOR[action]):
            return Membership.objects.none()
        found = Membership.objects.filter(user=self, role__in=ROLES_FOR[action])
        if self.token is not None and self.token.project_id is not None:
            found = found.filter(project=self.token.project_id)
        return found


class SecondFactor(models.Model):
    """The app on a person's phone that makes codes, asked for after the password.

    `secrets` holds, sealed, the `secret` it makes them from, and `next`, one that is being set up. It counts from
    `confirmed_at` on, when a first code was shown. Of the recovery codes only keyed digests are stored.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="second_factor")
    secrets = models.JSONField(default=dict)
    key_version = models.PositiveIntegerField()
    recovery = ArrayField(models.CharField(max_length=64), default=list)
    confirmed_at = models.DateTimeField(null=True)
    # The half minute of the last code that was taken: none is taken twice.
    last_step = models.BigIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    locked_until = models.DateTimeField(null=True)

    class Meta:
        triggers = audited(
            kind="second factor",
            project="",
            name=["user__username"],
            secret=["secrets", "recovery"],
            skip=["key_version", "last_step", "failures", "locked_until"],
        )

    def __str__(self) -> str:
        return f"second factor of {self.user}"


class IdentityQuerySet(VisibleQuerySet["Identity"]):
    def visible_to(self, user: Any, action: Action = "see") -> IdentityQuerySet:
        """One's own, by which one can sign in."""
        return self.filter(user=user.pk, unlinked_at=None)


class Identity(models.Model):
    """Whom an OpenID Connect issuer knows a person as. The subject stays; names and addresses change.

    One that was unlinked is kept, so that an e-mail address does not link it again at the next sign-in.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    email = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    used_at = models.DateTimeField(null=True)
    unlinked_at = models.DateTimeField(null=True)

    objects = IdentityQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="one_person_per_subject")]
        triggers = audited(project="", name=["user__username"], skip=["used_at"])

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"


class Project(ProjectRow):
    """A room of its own: sources, pipelines and data that only its members see. Its slug never changes."""

    project_path = "id"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        triggers = audited()

    def __str__(self) -> str:
        return self.slug


class Membership(ProjectRow):
    """What a user is in a project."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["user", "project"], name="one_membership_per_project")]
        triggers = audited(name=["user__username", "project__slug"])

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class Invitation(ProjectRow):
    """A link that lets one person join a project in a role, once, until it expires or is withdrawn.

    Only a keyed digest of what stands in the link is stored; the link itself is shown once.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=16, choices=Role)
    name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        triggers = audited(secret=["digest"])

    def __str__(self) -> str:
        return self.name


class TokenQuerySet(VisibleQuerySet["ApiToken"]):
    def visible_to(self, user: Any, action: Action = "see") -> TokenQuerySet:
        """One's own, and those that others have limited to a project one manages; a narrowed token sees no further."""
        managed = Q(project__in=user.project_ids("manage"))
        own = Q(user=user.pk)
        if user.token is not None and user.token.project_id is not None:
            own &= Q(project=user.token.project_id)
        return self.filter(own | managed)


class ApiToken(models.Model):
    """A key to the API that belongs to a user, may be limited to a project, and has a maximum role.

    Only a keyed digest is stored; the token itself is shown once.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="tokens")
    name = models.CharField(max_length=100)
    role = models.CharField(max_length=16, choices=Role, default=Role.ADMIN)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        triggers = audited(kind="token", secret=["digest"], skip=["last_used_at"])

    def __str__(self) -> str:
        return self.name


class SessionQuerySet(VisibleQuerySet["Session"]):
    def visible_to(self, user: Any, action: Action = "see") -> SessionQuerySet:
        """One's own."""
        return self.filter(user=user.pk)


class Session(AbstractBaseSession):
    """A sign-in to the console: whose it is, from where, with what, and when it was last used.

    Its key opens the console, so it is shown nowhere; `services.sessions.name_of` is what it is called by.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=300, blank=True)
    began_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)

    objects = SessionQuerySet.as_manager()  # type: ignore[assignment,misc]

    class Meta:
        indexes = [models.Index(fields=["expire_date"])]

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        return SessionStore
