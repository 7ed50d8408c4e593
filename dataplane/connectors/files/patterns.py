"""File patterns: globs in which `{YYYY}`, `{MM}`, `{DD}` and `{HH}` stand for the date in a file's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from dataplane.errors import ConfigurationError

_TOKENS = {
    "YYYY": r"\d{4}",
    "MM": r"(?:0[1-9]|1[0-2])",
    "DD": r"(?:0[1-9]|[12]\d|3[01])",
    "HH": r"(?:[01]\d|2[0-3])",
}
_PIECE = re.compile(r"\{(\w*)\}|(\*\*/)|(\*\*)|(\*)|(\?)|(\[!?[^\]/]+\])")

# A date in a name that nobody has declared yet: year first, with or without separators.
_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d{2}(?P<a>[-_./]?)(?:0[1-9]|1[0-2])(?:(?P<b>[-_./]?)(?:0[1-9]|[12]\d|3[01]))?(?!\d)"
    r"|(?<!\d)(?:19|20)\d{2}(?!\d)"
)


@dataclass(frozen=True)
class Match:
    """A file that fits; `date` is ISO 8601, as exact as the pattern tells, or None."""

    date: str | None


class FilePattern:
    """One pattern. `*` and `?` stay within a folder, `**/` goes down any number of folders."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.dated = False
        self._exact = re.compile(self._expression(text, exact=True))
        self._loose = re.compile(self._expression(text, exact=False))

    def match(self, path: str) -> Match | None:
        """The match of a path relative to the source's folder; None when it does not fit or its date is none."""
        found = self._exact.fullmatch(path)
        if found is None:
            return None
        try:
            return Match(_iso(found.groupdict()))
        except ValueError:
            return None

    def nearly(self, path: str) -> bool:
        """Whether only the date keeps a path from fitting: digits stand there that are no date."""
        return self.dated and self.match(path) is None and self._loose.fullmatch(path) is not None

    def _expression(self, text: str, *, exact: bool) -> str:
        if text.startswith("/") or ".." in text.split("/"):
            raise ConfigurationError(
                f"The pattern {text!r} leaves the source's folder. Write it relative to the folder, without `..`.",
                code="pattern",
                evidence={"pattern": text},
            )
        pieces, at, seen = [], 0, set()
        for found in _PIECE.finditer(text):
            pieces.append(re.escape(text[at : found.start()]))
            at = found.end()
            token = found.group(1)
            if token is None:
                pieces.append(_glob(found.group()))
                continue
            if token not in _TOKENS:
                raise ConfigurationError(
                    f"The pattern {text!r} has the unknown token {{{token}}}; use {{YYYY}}, {{MM}}, {{DD}} or {{HH}}.",
                    code="pattern",
                    evidence={"pattern": text},
                )
            self.dated = True
            digits = _TOKENS[token] if exact else r"\d+"
            pieces.append(f"(?P={token})" if token in seen and exact else f"(?P<{token}>{digits})" if exact else digits)
            seen.add(token)
        return "".join(pieces) + re.escape(text[at:])


def generalised(path: str) -> str:
    """A pattern for a path and its likes: dates become tokens, other numbers `*`."""

    def date(found: re.Match[str]) -> str:
        digits = re.sub(r"[-_./]", "", found.group())
        length = len(digits)
        try:
            datetime(int(digits[:4]), int(digits[4:6] or 1), int(digits[6:8] or 1))
        except ValueError:
            return _numbers(found.group())
        first, second = found.group("a") or "", found.group("b") or ""
        return "{YYYY}" + (f"{first}{{MM}}" if length > 4 else "") + (f"{second}{{DD}}" if length > 6 else "")

    parts, at = [], 0
    for found in _DATE.finditer(path):
        parts += [_numbers(path[at : found.start()]), date(found)]
        at = found.end()
    return "".join([*parts, _numbers(path[at:])])


def _numbers(text: str) -> str:
    return re.sub(r"\d+", "*", re.sub(r"([*?\[\]{}])", r"?", text))


def _glob(piece: str) -> str:
    if piece == "**/":
        return "(?:.*/)?"
    if piece == "**":
        return ".*"
    if piece == "*":
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    inner = piece[1:-1]
    negated, inner = ("^", inner[1:]) if inner.startswith("!") else ("", inner)
    return f"[{negated}{re.escape(inner).replace(re.escape('-'), '-')}]"


def _iso(found: dict[str, str | None]) -> str | None:
    """The date of a name. Raises ValueError for a day that no month has."""
    if not found.get("YYYY"):
        return None
    year, month, day = (found.get(token) or "1" for token in ("YYYY", "MM", "DD"))
    moment = datetime(int(year), int(month), int(day), int(found.get("HH") or 0))
    return moment.isoformat(timespec="minutes") if found.get("HH") else moment.date().isoformat()
