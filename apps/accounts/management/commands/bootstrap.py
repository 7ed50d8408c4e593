"""`manage.py bootstrap`: the first project and somebody who can sign in."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from apps.accounts.services import ensure_first_admin
from apps.audit.context import Actor


class Command(BaseCommand):
    help = (
        "Create the project `default`, a superuser with a generated password and a token for the command, unless there "
        'is a superuser. Prints {"username", "password", "token"}; the last two are null where nothing was created.'
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(asdict(ensure_first_admin(actor=Actor("command", None, "bootstrap")))))
