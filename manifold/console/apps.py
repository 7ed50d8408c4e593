from __future__ import annotations

from django.apps import AppConfig

from manifold import checks


class ConsoleConfig(AppConfig):
    name = "manifold.console"
    label = "console"

    def ready(self) -> None:
        checks.register_all()
