"""Named places where the fault tests strike. Without MANIFOLD_FAILPOINTS, which no installation sets, they do nothing.

The variable names a folder. When a step passes the place `claimed`, the first file `claimed*.order` there is taken (by
renaming it, so that exactly one process takes it) and its text is done: `kill`, `stop` (each also with `-parent`), or
`sleep 2.5`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

_folder = os.environ.get("MANIFOLD_FAILPOINTS", "")


def hit(name: str) -> None:
    """Pass the place `name`."""
    if _folder:
        _strike(Path(_folder), name)


def _strike(folder: Path, name: str) -> None:
    for order in sorted(folder.glob(f"{name}*.order")):
        taken = order.with_suffix(f".{os.getpid()}")
        try:
            order.rename(taken)
        except FileNotFoundError:
            continue
        _obey(taken.read_text(encoding="utf-8").split())
        return


def _obey(words: list[str]) -> None:
    if words[0] == "sleep":
        time.sleep(float(words[1]))
        return
    number = signal.SIGKILL if words[0].startswith("kill") else signal.SIGSTOP
    os.kill(os.getppid() if words[0].endswith("-parent") else os.getpid(), number)
    # A signal to the parent arrives on its own time; what comes after this place must not overtake it.
    time.sleep(0.2)
