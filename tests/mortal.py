"""Workers that may be killed: each works on one step in a process of its own, forked from one that has imported all.

`python -m tests.mortal` reads a line of JSON for each (step, storage, home, room) and answers with how its process
ended: 0, or the signal. It is told by MANIFOLD_FAILPOINTS where to die, or dies at the first byte of a file that there
is no room for.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django
from django.conf import settings
from django.db import connection


class Mortals:
    """The mother process, seen from a test.

    room: how many bytes of a file the next one may write; by the one that follows it is ended, as suddenly as by -9.
    """

    def __init__(self, process: subprocess.Popen[str], orders: Path) -> None:
        self.process, self.orders = process, orders
        self.room: int | None = None

    def work(self, step: object, *, die_at: str) -> int:
        """Work on a step until the named place, or for as long as there is room; how the process ended."""
        (self.orders / f"{die_at}.order").write_text("kill")
        assert self.process.stdin is not None and self.process.stdout is not None
        place = {"storage": settings.STORAGE_URL, "home": str(settings.MANIFOLD_HOME)}
        about, self.room = {"step": str(step), "room": self.room, **place}, None
        print(json.dumps(about), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())


@contextmanager
def mortals(folder: Path) -> Iterator[Mortals]:
    """A mother process on the database of this test run."""
    at = connection.settings_dict
    user, password = quote(at["USER"], safe=""), quote(at["PASSWORD"], safe="")
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgresql://{user}:{password}@{at['HOST']}:{at['PORT']}/{at['NAME']}",
        "MANIFOLD_FAILPOINTS": str(folder),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mortal"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        yield Mortals(process, folder)
    finally:
        process.communicate()


def _confine(room: int) -> None:
    """Have the kernel end this process where it writes more than so many bytes into one file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")
    django.setup()
    # Both need the settings.
    from apps.pipelines.execution import dispatch, steps
    from tests import kinds

    kinds.register()
    # The test works off what is ready by itself.
    dispatch.send = lambda ready: True
    for line in sys.stdin:
        about: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            settings.STORAGE_URL, settings.MANIFOLD_HOME = about["storage"], Path(about["home"])
            if about["room"]:
                _confine(about["room"])
            steps.run_step(about["step"], "mortal:0/1", may_exit=False)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
