"""The Celery application. A task gets ids and makes one service call."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.signals import setup_logging, task_prerun
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")

app = Celery("manifold")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery closes the connection to the database around every task, which costs a small step five times its own time.
# Never: a task that begins checks the connection it finds, see below.
app.conf.CELERY_DB_REUSE_MAX = 10**12
app.autodiscover_tasks()


@setup_logging.connect
def keep_logging(**_: object) -> None:
    """Connecting to this signal keeps Celery from replacing the logging that the settings have set up."""


@task_prerun.connect
def check_connections(**_: object) -> None:
    """Drop a connection that has broken or is too old before a task uses it.

    Django would ask the server with each task if it is still there; here the first statement finds out and is repeated.
    """
    for each in connections.all(initialized_only=True):
        if each.errors_occurred or (each.close_at is not None and time.monotonic() >= each.close_at):
            each.close()
