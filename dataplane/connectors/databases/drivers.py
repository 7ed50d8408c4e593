"""Drivers that are extras: installed by whoever wants their kind of source."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from dataplane.errors import ConfigurationError


def driver(module: str, extra: str, product: str) -> ModuleType:
    """The driver's module. Raises ConfigurationError where it is not installed, or does not start here."""
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        missing = isinstance(error, ModuleNotFoundError)
        raise ConfigurationError(
            f"The driver for {product} {'is not installed' if missing else f'does not start: {error}'}. Run "
            f'pip install "manifold[{extra}]" in the environment of Manifold, and start it again.',
            code="driver_missing",
            evidence={"extra": extra, "module": module},
        ) from None
