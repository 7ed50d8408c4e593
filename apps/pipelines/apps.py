from __future__ import annotations

import importlib

from django.apps import AppConfig


class PipelinesConfig(AppConfig):
    name = "apps.pipelines"
    label = "pipelines"

    def ready(self) -> None:
        """Every kind of step registers its adapter with the run engine here."""
        importlib.import_module("apps.pipelines.kinds").register()
