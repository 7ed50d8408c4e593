"""The folders that an installation may read: whatever a source names has to lie below one of them, links followed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dataplane.errors import ConfigurationError, InfrastructureError


def allowed(path: str, roots: Sequence[str], what: str) -> str:
    """The real path of a file or folder (`what` says which, in words), whether it is there or not.

    Raises ConfigurationError where it is below no allowed root.
    """
    if not roots:
        raise ConfigurationError(
            f"No {what} may be read yet. Name the allowed folders in MANIFOLD_FILE_ROOTS and start again.",
            code="no_file_roots",
        )
    real_roots = [os.path.realpath(each) for each in roots]
    candidates = [path] if os.path.isabs(path) else [os.path.join(each, path) for each in real_roots]
    real = [os.path.realpath(each) for each in candidates]
    inside = [each for each in real if any(below(each, root) for root in real_roots)]
    if not inside:
        folder = "its folder" if not os.path.isabs(path) else path if what == "folder" else os.path.dirname(path)
        raise ConfigurationError(
            f"The {what} {path} is not below an allowed folder. Choose another, or add {folder} to MANIFOLD_FILE_ROOTS "
            "and start again.",
            code="path_not_allowed",
            evidence={"path": path},
        )
    return next((each for each in inside if os.path.exists(each)), inside[0])


def below(path: str, root: str) -> bool:
    """Whether a real path is a folder or lies in it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def unreadable(path: str, error: OSError) -> ConfigurationError | InfrastructureError:
    """The error for a file that is there and cannot be read."""
    if isinstance(error, PermissionError):
        return ConfigurationError(
            f"{path} may not be read by Manifold. Give the account that runs it the right to read.",
            code="permission_denied",
            evidence={"file": path},
        )
    return InfrastructureError(
        f"{path} could not be read: {os.strerror(error.errno or 0)}.", code="file_read", evidence={"file": path}
    )
