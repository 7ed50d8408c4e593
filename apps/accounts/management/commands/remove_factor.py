"""`manage.py remove_factor`: the way back in for the only superuser, whose phone and recovery codes are lost."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts import services
from apps.accounts.models import User
from apps.audit.context import Actor
from dataplane.errors import ManifoldError


class Command(BaseCommand):
    help = "Take a person's second factor away, on the machine itself. They are signed out everywhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user `{options['username']}`.")
        try:
            services.remove_factor(user, actor=Actor("command", None, "remove_factor"))
        except ManifoldError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user.username} signs in without a code now.")
