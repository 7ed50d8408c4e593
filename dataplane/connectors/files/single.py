"""One file of a source that is a file itself: a database below an allowed folder."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dataplane.connectors.files.folder import below, unreadable
from dataplane.errors import ConfigurationError


def allowed_file(path: str, roots: Sequence[str]) -> str:
    """The real path of a file. Raises ConfigurationError where it is missing, unreadable, or below no allowed root."""
    if not roots:
        raise ConfigurationError(
            "No file may be read yet. Name the allowed folders in MANIFOLD_FILE_ROOTS and start again.",
            code="no_file_roots",
        )
    real_roots = [os.path.realpath(each) for each in roots]
    candidates = [path] if os.path.isabs(path) else [os.path.join(each, path) for each in real_roots]
    real = [os.path.realpath(each) for each in candidates]
    allowed = [each for each in real if any(below(each, root) for root in real_roots)]
    if not allowed:
        raise ConfigurationError(
            f"The file {path} is not below an allowed folder. Choose another, or add its folder to "
            "MANIFOLD_FILE_ROOTS.",
            code="path_not_allowed",
            evidence={"path": path},
        )
    chosen = next((each for each in allowed if os.path.exists(each)), allowed[0])
    if not os.path.isfile(chosen):
        what = "is a folder. Name a file in it" if os.path.isdir(chosen) else "does not exist. Correct the path"
        raise ConfigurationError(f"The file {path} {what}.", code="path_missing", evidence={"path": path})
    if not os.access(chosen, os.R_OK):
        raise unreadable(path, PermissionError())
    return chosen
