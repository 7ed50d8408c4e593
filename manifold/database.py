"""Reading a PostgreSQL address the way Django wants it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from manifold.environment.setting import SettingError


def django_database(url: str, *, pooled: bool = False, application_name: str = "manifold") -> dict[str, Any]:
    """One entry of Django's DATABASES. Raises SettingError for an address that is not PostgreSQL's.

    pooled: the next transaction may be in another session, so nothing is left in one for it to find.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise SettingError(f"DATABASE_URL: {error}. Write postgresql://user:password@host:port/name.") from error
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise SettingError(
            "DATABASE_URL: write postgresql://user:password@host:port/name; no other database is supported."
        )
    options: dict[str, Any] = {
        "application_name": application_name,
        "connect_timeout": 5,
        # psycopg's own default: statements of ours that ask for it are prepared. Django's own never are.
        "prepare_threshold": None if pooled else 5,
        **dict(parse_qsl(parts.query)),
    }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(port or ""),
        "OPTIONS": options,
        "DISABLE_SERVER_SIDE_CURSORS": pooled,
        # Threads keep their connection; a restart of the database is noticed at the next request.
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
    }
