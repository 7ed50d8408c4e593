"""What somebody knows of a place that holds data: an address, a connection string, a path, a command, or a sample.

It is taken apart once, and each connector says whether it is one of its own. Nothing here raises, and neither the
network nor the disk is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from dataplane.connectors import addresses, commands
from dataplane.connectors.addresses import Address
from dataplane.connectors.samples import format_of_sample

LONGEST = 64 << 10
"""So many characters of a text, and bytes of a sample, are looked at."""

# Asked of long texts of strangers, too: neither may go back over what it has read more than once.
_ASSIGNED = re.compile(
    r"\A\s*(?:export\s+|set\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*(?=['\"]?(?:jdbc:|[A-Za-z][A-Za-z0-9+.-]*://))"
)
_PATH = re.compile(r"(?:/|\./|\.\./|~/|[A-Za-z]:[\\/]|\\\\)\S?.*")


@dataclass(frozen=True)
class Guess:
    """What a connector makes of a clue. confidence: 0 to 1. reasons: sentences, without anything secret.

    params: what the clue says of the connector's parameters, secrets among them. title: what a source might be called.
    """

    confidence: float
    reasons: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict, repr=False)
    title: str = ""


@dataclass(frozen=True)
class Clue:
    """A text, or the first bytes of a file, and the file's name where it has one."""

    text: str = field(default="", repr=False)
    sample: bytes = field(default=b"", repr=False)
    name: str = ""

    @cached_property
    def line(self) -> str:
        """The text, if it is one line: without the name it is assigned to, and without quotes."""
        line = self.text[:LONGEST].strip()
        if "\n" in line or "\0" in line:
            return ""
        line = _ASSIGNED.sub("", line, count=1).strip().rstrip(";").strip()
        return line[1:-1].strip() if len(line) > 1 and line[0] == line[-1] and line[0] in "'\"`" else line

    @cached_property
    def address(self) -> Address | None:
        """The place that the text names; None for a path, and for what is none."""
        if not self.line or self.path:
            return None if self.path else addresses.of_lines(self.text[:LONGEST])
        for read in (
            commands.address,
            addresses.of_jdbc,
            addresses.of_url,
            addresses.of_copied,
            addresses.of_pairs,
            addresses.of_host,
        ):
            found = read(self.line)
            if found is not None:
                return found
        return None

    @cached_property
    def path(self) -> str:
        """The file or folder of this machine that the text names."""
        line = self.line
        if line.lower().startswith("file:"):
            return unquote(re.sub(r"^file:/{0,2}(?=/)", "", line, flags=re.IGNORECASE))
        return line if _PATH.fullmatch(line) else ""

    @cached_property
    def format(self) -> str:
        """What the sample is, or the text where it is no address: `csv`, `json`, `parquet`, …; empty: unknown."""
        if self.sample:
            return format_of_sample(self.sample[:LONGEST], self.name)
        if self.line and (self.address is not None or self.path):
            return ""
        return format_of_sample(self.text[:LONGEST].encode(errors="replace"), self.name)
