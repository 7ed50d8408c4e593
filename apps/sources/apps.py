from __future__ import annotations

import importlib

from django.apps import AppConfig


class SourcesConfig(AppConfig):
    name = "apps.sources"
    label = "sources"

    def ready(self) -> None:
        """An inbox that is nearly full is a warning of its source."""
        inbox = importlib.import_module("apps.sources.services.inbox")
        importlib.import_module("apps.sources.health").also_look(inbox.crowded)
