"""Whose a clue is, among servers and files. Each function answers for one connector, with what it can prefill."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from dataplane.connectors.addresses import Address
from dataplane.connectors.clues import LONGEST, Clue, Guess
from dataplane.connectors.files.settings import ARCHIVE, COMPRESSED, SUFFIXES

CERTAIN, LIKELY, POSSIBLE, WEAK = 0.97, 0.8, 0.5, 0.2

_WINDOWS = re.compile(r"[A-Za-z]:\\|\\\\")
_WORDS = ("parquet", "excel", "avro", "gzip", "zstd")
_DATABASES = (".sqlite", ".sqlite3", ".db", ".duckdb", ".ddb")
# What servers call their ways of encryption, in the words of our connectors.
_ENCRYPTION = {
    "preferred": "prefer",
    "required": "require",
    "disabled": "disable",
    "verify-identity": "verify-full",
    "true": "require",
    "false": "disable",
}


def database_server(
    clue: Clue, *, product: str, schemes: Sequence[str], port: int, services: Sequence[str] = ()
) -> Guess | None:
    """A server of a database product. services: the domains below which others run it for one."""
    found = _server(clue, product, schemes, port, services)
    if found is None or clue.address is None:
        return None
    confidence, reason = found
    params = _sign_in(clue.address)
    if name := clue.address.path.strip("/").split("/")[0]:
        params["database"] = name
    if mode := _encryption(clue.address.query):
        params["sslmode"] = mode
    if schema := clue.address.query.get("currentschema") or clue.address.query.get("search_path"):
        params["schemas"] = [each.strip() for each in schema.split(",") if each.strip()]
    return Guess(confidence, (reason,), params, title=params.get("database", ""))


def mongodb(clue: Clue) -> Guess | None:
    """A server of MongoDB, or the name whose DNS records name several."""
    found = _server(clue, "MongoDB", ("mongodb",), 27017, ("mongodb.net",))
    if found is None or clue.address is None or found[0] in (POSSIBLE, WEAK):
        return None
    confidence, reason = found
    params, told = _sign_in(clue.address), clue.address.query
    if "mongodb+srv:" in clue.text[:LONGEST].lower():
        params["srv"] = True
        params.pop("port", None)
    if name := clue.address.path.strip("/").split("/")[0]:
        params["database"] = name
    if database := told.get("authsource") or (name if clue.address.user and "srv" not in params else ""):
        params["auth_database"] = database
    if clue.address.scheme and "srv" not in params and (told.get("tls") or told.get("ssl")) != "true":
        params["tls"] = "disable"
    return Guess(confidence, (reason,), params, title=params.get("database", ""))


def file_server(clue: Clue, *, product: str, schemes: Sequence[str], port: int) -> Guess | None:
    """A server of files; what follows its name is a folder there, or a file in one."""
    found = _server(clue, product, schemes, port, ())
    if found is None or clue.address is None or found[0] == POSSIBLE:
        return None
    confidence, reason = found
    params = _sign_in(clue.address)
    folder, file = _folder_and_file(clue.address.path)
    reasons = (reason, f"The folder of {file} is read; its streams are told by names.") if file else (reason,)
    if folder.strip("/") or clue.address.form.endswith("scp"):
        params["path"] = folder
    return Guess(confidence, reasons, {name: value for name, value in params.items() if value != ""})


def broker(clue: Clue, *, product: str, schemes: Sequence[str], port: int, alone: str = "user") -> Guess | None:
    """A server of messages, told by its scheme or its port alone: a mere name may be anything.

    alone: the parameter for a name that stands before the server without a password.
    """
    found = _server(clue, product, schemes, port, ())
    if found is None or clue.address is None or found[0] in (POSSIBLE, WEAK):
        return None
    confidence, reason = found
    params = _sign_in(clue.address)
    if "user" in params and "password" not in params:
        params[alone] = params.pop("user")
    return Guess(confidence, (reason,), params)


def database_file(clue: Clue, *, product: str, scheme: str, suffixes: Sequence[str]) -> Guess | None:
    """A database that is one file, told by its address, its name or its first bytes."""
    if clue.format == scheme:
        return Guess(CERTAIN, (f"It begins as files of {product} do. Put it below a folder that may be read.",))
    address = clue.address
    if address is not None and address.scheme == scheme:
        path = address.path if address.form.startswith("a JDBC") else address.path.removeprefix("/")
        path = f"{address.host}{address.path}" if address.host else path
        return Guess(CERTAIN, (f"{scheme}: is the address of a file of {product}.",), {"path": path}, _stem(path))
    path = clue.path or (clue.line if re.fullmatch(r"[\w./-]+", clue.line) else "")
    if path.lower().endswith(tuple(suffixes)):
        return Guess(LIKELY + 0.1, (f"Files of {product} are often called so.",), {"path": path}, _stem(path))
    return None


def local_folder(clue: Clue) -> Guess | None:
    """A folder of this machine, or of a file in it; of a sample only that it is of a format that is read."""
    if clue.path:
        if clue.path.lower().endswith(_DATABASES):
            return None
        folder, file = _folder_and_file(clue.path)
        if _WINDOWS.match(clue.path):
            reason = "It is a path of Windows, which Manifold does not see as such."
            return Guess(POSSIBLE, (reason,), {"path": folder}, _stem(file))
        if file:
            reasons = ("It is the path of a file.", f"The folder of {file} is read; its streams are told by names.")
            return Guess(LIKELY + 0.1, reasons, {"path": folder}, _stem(file))
        return Guess(LIKELY, ("It is the path of a folder.",), {"path": folder}, _stem(folder))
    if clue.address is None and re.fullmatch(r"[^\s/\\]+\.[A-Za-z0-9]+", clue.line) and _known(clue.line):
        return Guess(
            POSSIBLE, ("It is the name of a file; in which folder it lies is not said.",), {}, _stem(clue.line)
        )
    return sample_of_file(clue, POSSIBLE, "Read it where it lies, if it comes again and again.")


def own_file(clue: Clue) -> Guess | None:
    """A file of somebody's own computer, by its path, or a sample of a format that file sources read."""
    if clue.path and _WINDOWS.match(clue.path):
        _, file = _folder_and_file(clue.path)
        reason = "It is a path of Windows. If it lies on your own computer, give Manifold the file."
        return Guess(LIKELY, (reason,), {}, _stem(file))
    return sample_of_file(clue, POSSIBLE + 0.1, "Give it to Manifold as a file.")


def sample_of_file(clue: Clue, confidence: float, then: str) -> Guess | None:
    """A sample of a format that file sources read."""
    if clue.format not in ("csv", "tsv", "json", "ndjson", "parquet", "excel", "xml", "avro", "zip", "gzip", "zstd"):
        return None
    said = clue.format.capitalize() if clue.format in _WORDS else clue.format.upper()
    return Guess(confidence, (f"The sample is {said}.", then), {}, _stem(clue.name))


def _server(
    clue: Clue, product: str, schemes: Sequence[str], port: int, services: Sequence[str]
) -> tuple[float, str] | None:
    """How sure it is that an address is of this product, and why."""
    address = clue.address
    if address is None:
        return None
    if address.scheme:
        said = f"It is {address.form} for {product}."
        return (CERTAIN, said) if address.scheme in schemes else None
    if services and address.within(*services):
        return LIKELY + 0.1, f"Machines of this name run {product}."
    if address.port == port:
        return LIKELY - 0.1, f"{port} is the port of {product}."
    if address.port is not None:
        return None
    if address.form == "a machine's name":
        return WEAK, "It is the name of a machine, which may run anything."
    return POSSIBLE, f"It is {address.form} without the name of a product."


def _sign_in(address: Address) -> dict[str, Any]:
    named = {"host": address.host, "port": address.port, "user": address.user, "password": address.password}
    return {name: value for name, value in named.items() if value}


def _encryption(query: Mapping[str, str]) -> str:
    said = next((query[each] for each in ("sslmode", "ssl-mode", "ssl_mode", "usessl", "ssl") if each in query), "")
    said = said.lower().replace("_", "-")
    return _ENCRYPTION.get(said, said)


def _folder_and_file(path: str) -> tuple[str, str]:
    """The folder that a path names, and the file in it where its last part is the name of one."""
    whole = PureWindowsPath(path) if _WINDOWS.match(path) else PurePosixPath(path)
    return (str(whole.parent), whole.name) if _known(whole.name) else (path, "")


def _known(name: str) -> bool:
    """Whether the name is one of a file that is read, or that might be a pattern of such names."""
    bare = name.lower()
    for each in (*COMPRESSED, ARCHIVE):
        bare = bare.removesuffix(each)
    return bare != name.lower() or any(bare.endswith(each) for each in (*SUFFIXES, ".dat"))


def _stem(path: str) -> str:
    """What a source might be called after a path."""
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return re.sub(r"[_\-.]+", " ", last.partition(".")[0]).strip().capitalize()[:80]
