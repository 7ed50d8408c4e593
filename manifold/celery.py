"""The Celery application. A task gets ids and makes one service call."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")

app = Celery("manifold")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_logging(**_: object) -> None:
    """Connecting to this signal keeps Celery from replacing the logging that the settings have set up."""
