"""`manage.py prepare`: what has to be done to the database before a start. `manifold up` does it itself."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from manifold import tables


class Command(BaseCommand):
    help = "Apply the migrations (as the role of DATABASE_ADMIN_URL where it is set) and let the application's role in."

    def handle(self, *args: Any, **options: Any) -> None:
        tables.prepare()
