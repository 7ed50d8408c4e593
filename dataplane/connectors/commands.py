"""The place that a command names: curl, psql, mysql or sftp with its options."""

from __future__ import annotations

import shlex
from dataclasses import replace

from dataplane.connectors import addresses
from dataplane.connectors.addresses import Address


def address(line: str) -> Address | None:
    """The place; None where the line is no command of these."""
    name = line.split(maxsplit=1)[0].lower()
    if name not in ("curl", "psql", "mysql", "mariadb", "sftp"):
        return None
    try:
        words = shlex.split(line)[1:]
    except ValueError:
        return None
    if name == "curl":
        return _curl(words)
    if name == "sftp":
        place = words[-1] if words else ""
        return addresses.of_url(place) or addresses.of_copied(place if ":" in place else f"{place}:")
    return _client(words, "postgresql" if name == "psql" else "mysql", name)


def _curl(words: list[str]) -> Address | None:
    headers: dict[str, str] = {}
    user, url = "", ""
    rest = iter(words)
    for word in rest:
        if word in ("-H", "--header"):
            header, _, value = next(rest, "").partition(":")
            headers[header.strip().lower()] = value.strip()
        elif word in ("-u", "--user"):
            user = next(rest, "")
        elif word in ("-X", "--request", "-o", "--output", "-d", "--data", "-A", "--user-agent", "-m", "--max-time"):
            next(rest, "")
        elif addresses.SCHEME.match(word):
            url = word
    found = addresses.of_url(url, "a command of curl")
    if found is None:
        return None
    name, _, password = user.partition(":")
    return replace(found, user=found.user or name, password=found.password or password, headers=headers)


def _client(words: list[str], scheme: str, name: str) -> Address | None:
    """psql or mysql: its options, and the database at the end."""
    for word in words:
        if addresses.SCHEME.match(word):
            return addresses.of_url(word, f"a command of {name}")
        if "=" in word and "host" in word and not word.startswith("-"):
            return addresses.of_pairs(word)
    long = {"host": "host", "port": "port", "username": "user", "user": "user", "dbname": "path", "database": "path"}
    short = {
        "h": "host",
        "d": "path",
        "D": "path",
        "U": "user",
        "u": "user",
        "p" if scheme == "postgresql" else "P": "port",
    }
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            part = "password" if option == "password" and equals else long.get(option)
            if part:
                found[part] = value if equals else next(rest, "")
        elif scheme == "mysql" and word.startswith("-p"):
            found["password"] = word[2:]
        elif word.startswith("-") and word[1:2] in short:
            found[short[word[1:2]]] = word[2:] or next(rest, "")
        elif not word.startswith("-"):
            found.setdefault("path", word)
    return addresses.completed(Address(f"a command of {name}", scheme), found, {}) if "host" in found else None
