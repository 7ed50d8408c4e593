"""What the children of the supervisor do. They are forked from it, so Django is imported once and its memory shared.

Each role gets `ready`, which it calls when it can do its work (a worker again and again, as a sign of life), and
returns its exit status.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
from collections.abc import Callable
from io import StringIO
from typing import Any

import django
import gunicorn.app.base
import gunicorn.glogging
from celery.apps.beat import Beat
from celery.signals import beat_init, worker_ready
from celery.utils.nodenames import default_nodename, host_format
from django.conf import settings
from django.core.management import call_command

from manifold import celery, tables

Ready = Callable[[], None]

WORK_QUEUES = ("critical", "default", "bulk")
SYSTEM_QUEUES = ("system",)
# Two ticks ask servers of others and may wait long for them; the sweep and the reaper must not wait behind these.
SYSTEM_SLOTS = 4
SIGN_EVERY = 5.0


def preload() -> None:
    """Import what the children need, and keep the garbage collector away from it so that its pages stay shared."""
    importlib.import_module("manifold.wsgi")
    importlib.import_module(settings.ROOT_URLCONF)
    celery.app.loader.import_default_modules()
    celery.app.finalize()
    gc.collect()
    gc.freeze()


def setup() -> None:
    """Read the settings and load the applications; they must be in the environment by now."""
    django.setup()


def migrate(_ready: Ready) -> int:
    """Bring the tables up to date; prints what was done."""
    tables.prepare()
    return 0


def first_admin(answer: int) -> Callable[[Ready], int]:
    """Make sure somebody can sign in, and write what was generated to the pipe `answer`: it must be in no log."""

    def role(_ready: Ready) -> int:
        out = StringIO()
        call_command("bootstrap", stdout=out)
        os.write(answer, json.dumps(json.loads(out.getvalue())).encode())
        return 0

    return role


class _Logger(gunicorn.glogging.Logger):
    """gunicorn's own lines go where all others go."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.access_log.propagate = False


class _Web(gunicorn.app.base.BaseApplication):
    """gunicorn with threads, on the application this process has imported already."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return importlib.import_module("manifold.wsgi").application


def web(host: str, port: int, workers: int, threads: int) -> Callable[[Ready], int]:
    """Serves the console and the API."""

    def role(ready: Ready) -> int:
        options = {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "workers": workers,
            "threads": threads,
            "worker_class": "manifold.serving.Worker",
            "preload_app": True,
            "timeout": 120,
            "graceful_timeout": 5,
            "keepalive": 5,
            "control_socket_disable": True,
            "logger_class": _Logger,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108  gunicorn makes its own file
            # It listens now; what comes before its processes run waits in the queue of the socket.
            "when_ready": lambda _arbiter: ready(),
        }
        _Web(options).run()
        return 0

    return role


def _give_signs(tell: Ready) -> None:
    """Tell the supervisor from the loop that takes messages, so that one that hangs is noticed.

    A worker is ready again after each reconnection, which begins with an empty timer.
    """
    timers: list[Any] = []

    def start(sender: Any, **_: Any) -> None:
        tell()
        while timers:
            timers.pop().cancel()
        timers.append(sender.timer.call_repeatedly(SIGN_EVERY, tell))

    worker_ready.connect(start, weak=False)


def worker(name: str, queues: tuple[str, ...], concurrency: int) -> Callable[[Ready], int]:
    """A Celery worker of its own for these queues."""

    def role(ready: Ready) -> int:
        _give_signs(ready)
        running = celery.app.Worker(
            hostname=host_format(default_nodename(f"{name}@%h")),
            queues=",".join(queues),
            concurrency=concurrency,
            optimization="fair",
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        running.start()
        return int(running.exitcode or 0)

    return role


def beat(ready: Ready) -> int:
    """Sends the ticks."""
    beat_init.connect(lambda **_: ready(), weak=False)
    Beat(app=celery.app, redirect_stdouts=False, quiet=True).run()
    return 0


def flower(port: int) -> Callable[[Ready], int]:
    """What the console's page /flower/ reads from. Imported here and not before the fork: nobody else needs it."""

    def role(ready: Ready) -> int:
        importlib.import_module("manifold.flower.server").serve("127.0.0.1", port, ready)
        return 0

    return role
