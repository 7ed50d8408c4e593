"""One file of a source that is a file itself: a database below an allowed folder."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dataplane.connectors.files.roots import allowed, unreadable
from dataplane.errors import ConfigurationError


def allowed_file(path: str, roots: Sequence[str]) -> str:
    """The real path of a file. Raises ConfigurationError where it is missing, unreadable, or below no allowed root."""
    chosen = allowed(path, roots, "file")
    if not os.path.isfile(chosen):
        what = "is a folder. Name a file in it" if os.path.isdir(chosen) else "does not exist. Correct the path"
        raise ConfigurationError(f"The file {path} {what}.", code="path_missing", evidence={"path": path})
    if not os.access(chosen, os.R_OK):
        raise unreadable(path, PermissionError())
    return chosen
