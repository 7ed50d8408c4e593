from __future__ import annotations

import importlib

from django.apps import AppConfig


class SourcesConfig(AppConfig):
    name = "apps.sources"
    label = "sources"

    def ready(self) -> None:
        """An inbox that is nearly full or takes nothing, and a source without its files, are warned of."""
        inbox = importlib.import_module("apps.sources.services.inbox")
        uploads = importlib.import_module("apps.sources.services.uploads")
        for look in (inbox.unsigned, inbox.crowded, uploads.empty):
            importlib.import_module("apps.sources.health").also_look(look)
