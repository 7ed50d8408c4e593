from __future__ import annotations

import importlib

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "apps.pipelines"
    label = "pipelines"

    def ready(self) -> None:
        """Every kind of step registers its adapter with the run engine here, our secrets follow the master key,
        and a budget that is spent is a warning of its source."""
        importlib.import_module("apps.pipelines.kinds").register()
        importlib.import_module("apps.sources.health").also_look(importlib.import_module("apps.pipelines.costs").notice)
        importlib.import_module("apps.sources.services.credentials").rotates(self.get_model("HookSecret"))
