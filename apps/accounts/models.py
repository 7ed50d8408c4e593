"""Who there is: users, projects, memberships with a role, and tokens."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.contrib.auth.models import AbstractUser
from django.db import models

from apps.audit.ids import new_id
from apps.audit.visibility import Action


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


class User(AbstractUser):
    """A person. A superuser creates projects and users, and is a member only where added."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)

    def project_ids(self, action: Action) -> Collection[uuid.UUID]:
        """The projects in which this user may do `action`."""
        memberships = self.memberships.filter(role__in=ROLES_FOR[action])
        return memberships.values_list("project_id", flat=True)


class Project(models.Model):
    """A room of its own: sources, pipelines and data that only its members see."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "project"], name="one_membership_per_project")]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


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

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name
