"""Where sessions are kept: Django's own store, with whose they are and from where in columns of their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.contrib.sessions.backends import db
from django.db import models


class SessionStore(db.SessionStore):
    """Django loads it by the name of this module (`SESSION_ENGINE`)."""

    @classmethod
    def get_model_class(cls) -> type[models.Model]:  # type: ignore[override]
        return apps.get_model("accounts", "Session")

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.user_id = data.get("_auth_user_id")
        row.address = str(data.get("address", ""))[:45]
        row.agent = str(data.get("agent", ""))[:300]
        row.began_at = _moment(data.get("began_at"))
        row.seen_at = _moment(data.get("used_at")) or row.began_at
        return row


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int) else None
