"""What Django is needed for: the tables of this code, and a line in the audit log. Imported when it is set up."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any

from django.db import connections

from apps.audit.context import Actor
from apps.audit.services import record
from manifold import tables


def bring_up_to_date() -> None:
    """The tables become those of this code. What Django says about it is not what the command answers."""
    with redirect_stdout(sys.stderr):
        tables.prepare()


def tell(verb: str, who: str, file: str, data: dict[str, Any]) -> None:
    """An event of the platform: whoever holds a backup and its passphrase holds everything."""
    actor = Actor("command", None, who)
    record(verb, object_type="platform", object_id="manifold", object_name=file, data=data, actor=actor)
    connections.close_all()
