"""`python -m tests.worker NAME QUEUES CONCURRENCY READY-FILE`: a worker of the supervisor, with the kinds of tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")
    django.setup()
    # Both need the settings.
    from manifold.supervisor import roles
    from tests import kinds

    name, queues, concurrency, ready = sys.argv[1:]
    kinds.register()
    roles.preload()
    sys.exit(roles.worker(name, tuple(queues.split(",")), int(concurrency))(Path(ready).touch))


if __name__ == "__main__":
    main()
