"""Addresses, connection strings and lists of settings, taken apart. Nothing here raises, or asks anybody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote

# These are asked of long texts of strangers: none may go back over what it has read more than once.
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,63})*\.?)(?::(\d{1,5}))?")
_COPIED = re.compile(r"(?:([^\s@:/]+)@)([A-Za-z0-9.-]+):(?!//|\d+(?:/|$))(\S*)")
_WORDS = re.compile(r"(?<![A-Za-z_])([A-Za-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']+)")
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]\s*(.*)")

# What the parts of an address are called in connection strings, commands and environments.
_NAMES = {
    "host": "host hostname server datasource addr address hostaddr endpoint",
    "port": "port",
    "path": "dbname database db initialcatalog databasename",
    "user": "user username uid userid login",
    "password": "password pwd pass passwd",
}
_PART = {name: part for part, names in _NAMES.items() for name in names.split()}
# Behind these a path may hold any letter; behind the others an @ can only be one of a password that was not escaped.
_PATHS = frozenset(
    {"http", "https", "sftp", "ftp", "ftps", "ssh", "scp", "s3", "s3a", "gs", "webdav", "webdavs", "dav", "davs"}
)
_PREFIXES = {
    "pg": "postgresql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}


@dataclass(frozen=True)
class Address:
    """A place in parts; what the clue did not say is empty.

    form: what it was, in words. query: by small names, but for HTTP, where they are what they are.
    """

    form: str
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    fragment: str = field(default="", repr=False)

    def within(self, *domains: str) -> bool:
        """Whether the host is one of these domains, or below one."""
        return any(self.host == each or self.host.endswith(f".{each}") for each in domains)


def of_url(line: str, form: str = "an address") -> Address | None:
    """scheme://user:password@host:port/path?query#fragment, or what somebody wrote for it."""
    match = SCHEME.match(line)
    if match is None:
        return None
    scheme, rest = match[1].lower(), line[match.end() :]
    web = scheme in ("http", "https")
    told, rest = _signed_in(rest, paths=scheme in _PATHS)
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    host, port = _host_and_port(authority)
    user, _, password = told.partition(":")
    found = Address(
        form,
        scheme=scheme.partition("+")[0],
        host=host,
        port=port,
        path=unquote(slash + path),
        user=unquote(user),
        password=unquote(password),
        fragment=fragment,
        query={name if web else name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)},
    )
    return found if web else completed(found, {}, found.query)


def _signed_in(rest: str, *, paths: bool) -> tuple[str, str]:
    """User and password before the host, and the rest; a password may hold letters that should have been escaped."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    odd_port = ":" in authority and not authority.rpartition(":")[2].isdecimal() and not authority.endswith("]")
    if paths and ("@" in authority or not odd_port):
        told, at, _ = authority.rpartition("@")
        return told, rest[len(told) + len(at) :]
    # What stands behind a ? is a password's rest, too, unless it is parameters.
    end = rest.rfind("@")
    mark = rest.find("?")
    if -1 < mark < end and "=" in rest[mark:end]:
        end = rest.rfind("@", 0, mark)
    return (rest[:end], rest[end + 1 :]) if end >= 0 else ("", rest)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """The first of several hosts, in small letters, and its port where that is one."""
    first = authority.partition(",")[0]
    host, colon, port = first.rpartition(":") if not first.endswith("]") else (first, "", "")
    host, port = (host, port) if colon else (first, "")
    return unquote(host).strip("[]").lower(), _port(port)


def _port(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) and 0 < int(text) < 65536 else None


def of_jdbc(line: str) -> Address | None:
    """jdbc:product:… as the drivers of Java write it."""
    if not line.lower().startswith("jdbc:"):
        return None
    rest = line[5:]
    if oracle := re.fullmatch(
        r"oracle:thin:(?:([^/@]*)/([^@]*))?@(?://)?([^:/]+)(?::(\d+))?[:/]?(.*)", rest, re.IGNORECASE
    ):
        user, password, host, port, path = (each or "" for each in oracle.groups())
        return Address("a JDBC address", "oracle", host.lower(), _port(port), f"/{path}", user, password)
    if file := re.fullmatch(r"(sqlite|duckdb):(?!//[^/])(.*)", rest, re.IGNORECASE):
        return Address("a JDBC address", file[1].lower(), path=file[2])
    head, *options = re.split(r";(?=\s*[A-Za-z_]+\s*=)", rest)
    found = of_url(head, "a JDBC address")
    return found and completed(found, _by_name(each.partition("=")[::2] for each in options), found.query)


def of_copied(line: str) -> Address | None:
    """user@host:folder, as scp and rsync write it."""
    match = _COPIED.fullmatch(line)
    return match and Address("an address of scp", "sftp", match[2].lower(), path=match[3], user=match[1])


def of_pairs(line: str) -> Address | None:
    """`host=… dbname=…` or `Server=…;Database=…`."""
    if ";" in line:
        parts = [each.partition("=")[::2] for each in line.split(";") if "=" in each]
        form = "a connection string"
    else:
        parts = [(name, value) for name, value in _WORDS.findall(line)]
        form = "a connection string of libpq"
    named = _by_name(parts)
    if "host" not in named or len(named) < 2:
        return None
    names = {re.sub(r"[\s_]", "", name).lower() for name, _ in parts}
    scheme = "postgresql" if ";" not in line else _product(names)
    return completed(Address(form, scheme), named, _others(parts))


def _product(names: set[str]) -> str:
    """Whose words a connection string uses."""
    if names & {
        "initialcatalog",
        "datasource",
        "trustservercertificate",
        "integratedsecurity",
        "multipleactiveresultsets",
    }:
        return "sqlserver"
    if "uid" in names or {"sslmode", "server"} <= names:
        return "mysql"
    return "postgresql" if "host" in names else ""


def of_lines(text: str) -> Address | None:
    """An environment or a file of properties: PGHOST=…, DB_HOST=…, one a line."""
    pairs: list[tuple[str, str]] = []
    for line in text.splitlines()[:100]:
        bare = line.strip()
        match = _LINE.fullmatch(bare)
        if match is None and bare and not bare.startswith(("#", ";", "[")):
            return None
        if match is not None:
            pairs.append((match[1], match[2].strip().strip("'\"")))
    for _, value in pairs:
        if SCHEME.match(value) or value.startswith("jdbc:"):
            return of_jdbc(value) or of_url(value)
    scheme, shortened = "", []
    for name, value in pairs:
        head, under, tail = name.lower().partition("_")
        known = next((each for each in _PREFIXES if head == each or (not under and head.startswith(each))), None)
        scheme = scheme or (_PREFIXES[known] if known else "")
        shortened.append((tail if under else head.removeprefix(known or ""), value))
    named = _by_name(shortened)
    return completed(Address("a list of settings", scheme), named, {}) if "host" in named and len(named) > 1 else None


def _by_name(pairs: Iterable[Sequence[str]]) -> dict[str, str]:
    """The parts of an address by what a connection string calls them."""
    found: dict[str, str] = {}
    for name, value in pairs:
        part = _PART.get(re.sub(r"[\s_-]", "", name).lower())
        if part and part not in found:
            found[part] = _unquoted(value.strip())
    return found


def _others(pairs: Iterable[Sequence[str]]) -> dict[str, str]:
    return {re.sub(r"[\s_-]", "", name).lower(): _unquoted(value.strip()) for name, value in pairs}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def completed(found: Address, named: Mapping[str, str], query: Mapping[str, str]) -> Address:
    """An address to which named parts are added; what is in `query` under such a name counts, too."""
    every = {**_by_name(query.items()), **named}
    host, port = found.host, found.port
    if not host and not every.get("host", "").startswith("/"):
        host, port = _host_and_port(every.get("host", "").removeprefix("tcp:").replace(",", ":", 1))
    path = found.path if found.path.strip("/") or "path" not in every else f"/{every['path']}"
    return replace(
        found,
        host=host,
        port=port or _port(every.get("port", "")),
        path=path,
        user=found.user or every.get("user", ""),
        password=found.password or every.get("password", ""),
        query=query,
    )


def of_host(line: str) -> Address | None:
    """A machine's name or address, with its port or without."""
    match = _HOST.fullmatch(line)
    if match is None or not ("." in line or ":" in line or line.lower() == "localhost"):
        return None
    if re.search(
        r"\.(csv|tsv|txt|json|ndjson|jsonl|parquet|xlsx|xml|avro|zip|gz|zst|sqlite3?|db|duckdb)$", line.lower()
    ):
        return None
    host, port = _host_and_port(line)
    return Address("a machine's name", host=host, port=port)
