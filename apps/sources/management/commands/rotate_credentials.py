"""`manage.py rotate_credentials`: encrypt every credential again under the newest master key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.context import Actor
from apps.sources import services
from dataplane.errors import ManifoldError


class Command(BaseCommand):
    help = "Encrypt every credential again under the newest key of MANIFOLD_MASTER_KEY. Harmless when repeated."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changed = services.rotate_credentials(actor=Actor("command", None, "rotate_credentials"))
        except ManifoldError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"{changed} credentials are encrypted under the newest key now.")
