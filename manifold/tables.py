"""Bringing the tables up to date, and who may do what with them."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from psycopg import sql

ADMIN = "admin"


def prepare() -> None:
    """Apply the migrations; where DATABASE_ADMIN_URL is set, as that role, and let the application's role in.

    The application may then neither alter a table nor change or remove a line of the audit log: it owns nothing.
    """
    if ADMIN not in settings.DATABASES:
        call_command("migrate", interactive=False)
        return
    call_command("migrate", interactive=False, database=ADMIN)
    _grant(settings.DATABASES["default"]["USER"])


def _grant(role: str) -> None:
    audit = {model._meta.db_table for model in apps.get_app_config("audit").get_models()}
    connection = connections[ADMIN]
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            rights = sql.SQL("SELECT, INSERT" if table in audit else "SELECT, INSERT, UPDATE, DELETE")
            names = (sql.Identifier(table), sql.Identifier(role))
            cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(*names))
            cursor.execute(sql.SQL("GRANT {} ON {} TO {}").format(rights, *names))
        cursor.execute(
            sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role))
        )
