"""`visible_to` is the only way a request reaches a row.

This module knows of a user only `user.project_ids(action)`. The four actions are the verbs of the role table: everybody
in a project may `see` and `read` (data), operators may `operate`, administrators may `manage`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from django.db import models

Action = Literal["see", "read", "operate", "manage"]


class Member(Protocol):
    """Whoever asks: a user, or a user narrowed by the token that was sent."""

    def project_ids(self, action: Action) -> Collection[uuid.UUID]: ...


Row = TypeVar("Row", bound=models.Model)


class VisibleQuerySet(models.QuerySet[Row]):
    """Rows that belong to a project, reached by the model's `project_path`."""

    def visible_to(self, user: Any, action: Action = "see") -> VisibleQuerySet[Row]:
        path = getattr(self.model, "project_path", "project_id")
        return self.filter(**{f"{path}__in": user.project_ids(action)})


class ProjectRow(models.Model):
    """Base of every model whose rows belong to a project; `project_path` leads there from the row."""

    project_path: ClassVar[str] = "project_id"
    objects = VisibleQuerySet.as_manager()

    class Meta:
        abstract = True
