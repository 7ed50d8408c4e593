"""What a setting is: one environment variable, typed; a secret one may also come from a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class SettingError(Exception):
    """A setting has a value that cannot be used. The text names the setting and the remedy."""


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One environment variable. `read()` gives its typed value, or the default when it is unset or empty."""

    name: str
    kind: str
    parse: Callable[[str], T]
    default: T
    doc: str
    secret: bool = False

    def read(self, env: Mapping[str, str] | None = None) -> T:
        """The value in `env` (the process's own environment by default). Raises SettingError for a bad one."""
        text = self.text(os.environ if env is None else env)
        if not text:
            return self.default
        try:
            return self.parse(text)
        except ValueError as error:
            shown = "its value" if self.secret else repr(text)
            raise SettingError(f"{self.name}: {shown} is not {self.kind}: {error}. Correct it or unset it.") from error

    def text(self, env: Mapping[str, str]) -> str:
        """The value as it was written: the variable, else (for secrets) the named file, else what `up` left behind."""
        if env.get(self.name):
            return env[self.name]
        if not self.secret:
            return ""
        named = env.get(f"{self.name}_FILE")
        if named:
            try:
                return Path(named).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise SettingError(
                    f"{self.name}_FILE: {named} cannot be read ({error.strerror}). Name a file this account may read."
                ) from error
        kept = data_folder(env) / "secrets" / self.name.removeprefix("MANIFOLD_").lower()
        try:
            return kept.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def is_named(self, env: Mapping[str, str] | None = None) -> bool:
        """Whether the environment itself names it; what an earlier `up` left in the secrets does not count."""
        given = os.environ if env is None else env
        return bool(given.get(self.name) or given.get(f"{self.name}_FILE"))

    @property
    def shown(self) -> str:
        """Its default, as one would write it."""
        value = self.default
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int) and self.kind == "a size":
            return f"{value // 2**20}MB"
        return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def data_folder(env: Mapping[str, str] | None = None) -> Path:
    """The absolute data folder of this installation."""
    given = os.environ if env is None else env
    return Path(given.get("MANIFOLD_HOME") or ".manifold").expanduser().absolute()
