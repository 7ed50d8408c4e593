"""Flower, the view of Celery's own workers and messages: read-only, behind a password, for the console alone.

It shows names, times and ids: a message of ours carries nothing else. People reach it at `/flower/`, see
`manifold/console/flower.py`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from flower.app import Flower
from flower.command import extract_settings
from flower.urls import settings
from tornado.options import options

from manifold import celery
from manifold.flower.access import PREFIX, USER, password

# What it remembers is what it weighs.
MOST_TASKS = 2_000
MOST_WORKERS = 100
FORGOTTEN_AFTER_SECONDS = 600


class ListenError(Exception):
    """Nothing can be served there. The text says why and what to do."""


def serve(address: str, port: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM. Nothing can be changed through it: workers are neither stopped nor given tasks.

    Raises ListenError where the address is not of this machine, or the port is taken.
    """
    chosen = {
        "address": address,
        "port": port,
        "url_prefix": PREFIX,
        "basic_auth": [f"{USER}:{password()}"],
        "read_only": True,
        "enable_events": False,
        "format_task": _without_texts,
        "max_tasks": MOST_TASKS,
        "max_workers": MOST_WORKERS,
        "purge_offline_workers": FORGOTTEN_AFTER_SECONDS,
    }
    for name, value in chosen.items():
        setattr(options, name, value)
    extract_settings()
    application = Flower(capp=celery.app, options=options, **settings)
    # What a worker says of its configuration names the broker with its password.
    asked = application.inspector.inspect_methods
    application.inspector.inspect_methods = tuple(each for each in asked if each != "conf")
    signal.signal(signal.SIGTERM, _leave)
    try:
        application.start_http_server()
    except OSError as error:
        raise ListenError(
            f"Flower cannot listen on port {port} of {address}: {error.strerror or error}. "
            "Stop what listens there, or choose another with --port and --address."
        ) from None
    ready()
    try:
        application.start()
    except (KeyboardInterrupt, SystemExit):
        application.stop()


def _without_texts(task: Any) -> Any:
    """A copy of a task that is to be shown: what it said when it failed may hold more than names, times and ids."""
    for name in ("result", "exception", "traceback"):
        if getattr(task, name, None) not in (None, "None"):
            setattr(task, name, "in the worker's log")
    return task


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
