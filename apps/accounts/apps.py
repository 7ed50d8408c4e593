from __future__ import annotations

import importlib

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        # Models can only be imported by now.
        importlib.import_module("apps.accounts.signins").connect()
