"""What the text of a setting may say: each function makes a value of it, or raises ValueError with what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

_SIZES = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


def boolean(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError("write true or false")
    return known[text.lower()]


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("write a whole number above zero")
    return number


def natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("write a whole number, zero or above")
    return number


def port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError("a port lies between 1 and 65535")
    return number


def size(text: str) -> int:
    """Bytes: 4096, 512MB, 1.5 GiB; a thousand of each is 1,024."""
    digits = text.strip().upper().replace("IB", "B")
    unit = digits.lstrip("0123456789. ")
    if unit not in _SIZES:
        raise ValueError("write bytes or a size like 512MB or 2GB")
    return int(float(digits.removesuffix(unit)) * _SIZES[unit])


def parts(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def folders(text: str) -> list[Path]:
    found = [Path(part).expanduser() for part in parts(text)]
    relative = [str(folder) for folder in found if not folder.is_absolute()]
    if relative:
        raise ValueError(f"{relative[0]} is not an absolute path")
    return found


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"write one of {', '.join(allowed)}")
        return text.lower()

    return parse


def issuer(text: str) -> str:
    """An address that is encrypted, or this machine's own."""
    url = urlsplit(text)
    here = url.hostname in ("localhost", "127.0.0.1", "::1")
    if not url.hostname or (url.scheme != "https" and not (url.scheme == "http" and here)):
        raise ValueError("write https://… (http:// only for this machine)")
    return text


def group_roles(text: str) -> list[tuple[str, str, str]]:
    """Group, project and role of each `group=project:role`."""
    found = []
    for part in parts(text):
        group, _, place = part.rpartition("=")
        project, _, role = place.partition(":")
        if not group or not project or role not in ("viewer", "operator", "admin"):
            raise ValueError(f"{part} is not group=project:role, with the role viewer, operator or admin")
        found.append((group, project, role))
    return found
