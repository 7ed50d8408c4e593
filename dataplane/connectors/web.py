"""Whose a clue is, among buckets, downloads and APIs: everything that is reached over HTTP."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from dataplane.connectors.addresses import Address
from dataplane.connectors.clues import LONGEST, Clue, Guess
from dataplane.connectors.files.settings import COMPRESSED, SUFFIXES
from dataplane.connectors.recognising import CERTAIN, LIKELY, POSSIBLE, WEAK

_SECRET = re.compile(
    r"(?:^|[_.-])(?:key|pass|pwd|pw|sig|auth|authorization|credential|bearer|session|sid)$"
    r"|(?:token|secret|password|passwd|signature|jwt|tempauth)$"
    r"|^(?:rl|auth)key$|^code$|api-?key|access-?key|sess(?:ion)?[_-]?id|cookie",
    re.IGNORECASE,
)
# Parameters by which a shared link lets in whoever has it, whole.
_LINK_KEYS = ("rlkey", "authkey")
_SIGNED = re.compile(r"sig|signature|x-(?:amz|goog)-(?:signature|credential|security-token)", re.IGNORECASE)
_VERSION = re.compile(r"v\d+(?:\.\d+)*", re.IGNORECASE)
_SIZES = ("per_page", "page_size", "pagesize", "limit", "size", "count")
_RECORDS = ("data", "items", "results", "records", "value", "rows", "entries")
_NEXT = ("next_cursor", "next", "nextcursor", "next_page_token", "nextpagetoken")


def bucket(clue: Clue) -> Guess | None:
    """A bucket of Amazon S3, or of a store that speaks its protocol."""
    line, address = clue.line, clue.address
    if match := re.fullmatch(r"arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]+)(?:/(.*))?", line):
        return Guess(CERTAIN, ("It is the ARN of a bucket.",), _bucket(match[1], match[2] or ""), match[1])
    if address is None:
        return None
    if address.scheme in ("s3", "s3a", "s3n"):
        return Guess(CERTAIN, ("It is the address of a bucket.",), _bucket(address.host, address.path), address.host)
    return _bucket_on_the_web(address) if address.scheme in ("http", "https") else None


def google_bucket(clue: Clue) -> Guess | None:
    """A bucket of Google Cloud Storage."""
    address = clue.address
    if address is None:
        return None
    if address.scheme in ("gs", "gcs"):
        return Guess(CERTAIN, ("It is the address of a bucket.",), _bucket(address.host, address.path), address.host)
    first, _, rest = address.path.strip("/").partition("/")
    if address.host in ("storage.googleapis.com", "storage.cloud.google.com") and first:
        return Guess(LIKELY, ("Buckets of Google have such addresses.",), _bucket(first, rest), first)
    if address.host.endswith(".storage.googleapis.com"):
        name = address.host.removesuffix(".storage.googleapis.com")
        return Guess(LIKELY, ("Buckets of Google have such addresses.",), _bucket(name, address.path), name)
    return None


def container(clue: Clue) -> Guess | None:
    """A container of Azure Blob Storage: its address, that of a file in it, or the connection string of its account."""
    pairs = {
        name.strip().lower(): value.strip()
        for name, value in (each.partition("=")[::2] for each in clue.line.split(";"))
    }
    if "accountname" in pairs and ("accountkey" in pairs or "blobendpoint" in pairs):
        params = {"account": pairs["accountname"], "account_key": pairs.get("accountkey", "")}
        suffix = pairs.get("endpointsuffix", "core.windows.net")
        usual = f"https://{params['account']}.blob.{suffix}"
        if (endpoint := pairs.get("blobendpoint") or usual) and not endpoint.endswith(".blob.core.windows.net"):
            params["endpoint"] = endpoint.rstrip("/")
        kept = {name: value for name, value in params.items() if value}
        return Guess(CERTAIN, ("It is the connection string of a storage account.",), kept, params["account"])
    address = clue.address
    if address is None or not re.fullmatch(r"[a-z0-9]+\.(blob|dfs)\.core\.windows\.net", address.host):
        return None
    account = address.host.partition(".")[0]
    first, _, rest = address.path.strip("/").partition("/")
    if address.scheme in ("abfs", "abfss", "wasb", "wasbs"):
        first, rest = address.user, address.path
    params = {"account": account} | ({"container": first} if first else {})
    if folder := _bucket(first, rest).get("prefix"):
        params["prefix"] = folder
    if "sig" in address.query:
        params["sas"] = urlencode(address.query)
    return Guess(CERTAIN, ("Containers of Azure have such addresses.",), params, first)


def _bucket_on_the_web(address: Address) -> Guess | None:
    first, _, rest = address.path.strip("/").partition("/")
    amazon = re.fullmatch(r"(?:(.+)\.)?s3[.-]?(?:dualstack\.)?(?:([a-z0-9-]+)\.)?amazonaws\.com", address.host)
    if amazon:
        name, key = (amazon[1], address.path) if amazon[1] else (first, rest)
        params = _bucket(name, key) | ({"region": amazon[2]} if amazon[2] else {})
        return Guess(LIKELY, ("Buckets of Amazon S3 have such addresses.",), params, name)
    others = ("r2.cloudflarestorage.com", "digitaloceanspaces.com", "backblazeb2.com", "wasabisys.com")
    if address.within(*others) or re.match(r"(minio|s3)[.-]", address.host) or address.port == 9000:
        params = _bucket(first, rest) | {"endpoint": _origin(address)}
        return Guess(LIKELY - 0.1, ("Stores that speak the protocol of S3 have such addresses.",), params, first)
    return None


def _bucket(name: str, key: str) -> dict[str, Any]:
    """What is below a key is read; of a file its folder."""
    folder = key.strip("/")
    if _is_file(folder):
        folder = folder.rpartition("/")[0]
    return {"bucket": name} | ({"prefix": folder} if folder else {})


def download(clue: Clue) -> Guess | None:
    """A file behind an address, or a page that shares one."""
    address = clue.address
    if (
        address is None
        or address.scheme not in ("http", "https", "webdav", "webdavs", "dav", "davs")
        or not address.host
    ):
        return None
    shared = _shared(address)
    if shared is not None:
        url, reason = shared
        key = next((name for name in _LINK_KEYS if address.query.get(name)), "")
        if not key:
            return Guess(LIKELY, (reason, *_left_out(address)), {"urls": [url]}, "")
        params = {"urls": [url], "auth": "parameter", "parameter": key, "token": address.query[key]}
        return Guess(LIKELY, (reason, f"Its parameter {key} is taken as the key."), params, "")
    params, reasons = _let_in(address, "header")
    reasons += _left_out(address)
    params["urls"] = [_without_secrets(address)]
    last = address.path.rstrip("/").rpartition("/")[2]
    if "dav" in address.scheme or "/dav/" in address.path or "/webdav/" in address.path:
        said = "It is a folder of WebDAV. Name the address of each file in it."
        return Guess(POSSIBLE, (said, *reasons), params)
    if _is_file(last):
        sure = POSSIBLE + 0.1 if last.lower().endswith(".json") else CERTAIN - 0.02
        return Guess(sure, ("It ends in the name of a file.", *reasons), params, last.partition(".")[0])
    if _api_like(address):
        return Guess(WEAK, ("What it answers with could be downloaded as one file.", *reasons), _named(params, last))
    return Guess(POSSIBLE - 0.05, ("It may be the address of a file.", *reasons), _named(params, last))


def _named(params: dict[str, Any], last: str) -> dict[str, Any]:
    """An address that does not end in a name gets one, whose ending is still to be said."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "", last) or "download"
    return {**params, "urls": [f"{plain}.csv {params['urls'][0]}"]}


def _shared(address: Address) -> tuple[str, str] | None:
    """The address of the file itself behind a page that shows it, and a sentence about it."""
    path = address.path
    if address.host == "docs.google.com" and (sheet := re.match(r"/spreadsheets/d/([\w-]+)", path)):
        page = re.match(r"gid=(\d+)", address.fragment)
        url = f"sheet.csv https://docs.google.com/spreadsheets/d/{sheet[1]}/export?format=csv"
        url += f"&gid={page[1]}" if page else ""
        return url, "It is a sheet of Google's; shared with everybody who has the link, it comes as CSV."
    if address.host == "drive.google.com":
        file = re.match(r"/file/d/([\w-]+)", path)
        if name := file[1] if file else address.query.get("id", ""):
            url = f"shared.csv https://drive.google.com/uc?export=download&id={quote(name)}"
            return url, "It is a file of Google Drive, shared with everybody who has the link. Mend its ending."
    if address.host == "github.com" and (blob := re.match(r"/([^/]+/[^/]+)/(?:blob|raw)/(.+)", path)):
        return f"https://raw.githubusercontent.com/{blob[1]}/{quote(blob[2])}", "GitHub has the file itself there."
    if address.within("dropbox.com") and path.strip("/"):
        told = {**{name: value for name, value in _kept(address).items() if name != "raw"}, "dl": "1"}
        last = path.rpartition("/")[2]
        url = f"https://{address.host}{quote(path)}?{urlencode(told)}"
        return (f"{last} {url}" if _is_file(last) else f"shared.csv {url}"), "Dropbox sends the file itself so."
    if address.within("sharepoint.com", "onedrive.live.com", "1drv.ms") and path.strip("/"):
        told = {**_kept(address), "download": "1"}
        url = f"shared.xlsx {_origin(address)}{quote(path)}?{urlencode(told)}"
        return url, "It is shared on OneDrive or SharePoint; with download=1 the file itself comes. Mend its ending."
    return None


def api(clue: Clue) -> Guess | None:
    """An API that answers with JSON, from an address of it, a command of curl, or an answer of it."""
    address = clue.address
    if address is None:
        return _answer(clue)
    if address.scheme not in ("http", "https") or not address.host or _shared(address) or _queried(address):
        return None
    params, reasons = _signed_in(address)
    query = _kept(address)
    pages, query = _paged(query)
    base, path = _parted(address.path)
    params |= pages | {"base_url": f"{_origin(address)}{quote(base)}"}
    if path:
        name = re.sub(r"[^a-z0-9_]", "", path.rpartition("/")[2].partition(".")[0].lower()) or "records"
        params["streams"] = [f"{name} {quote(path)}" + (f"?{urlencode(query)}" if query else "")]
    if _is_file(address.path) and not address.path.lower().endswith(".json"):
        return None
    if _api_like(address) or address.headers:
        return Guess(LIKELY + 0.05, ("Addresses of APIs look like it.", *reasons), params, address.host)
    if address.path.lower().endswith(".json"):
        return Guess(POSSIBLE, ("It may be an API that answers with JSON.", *reasons), params, address.host)
    return Guess(POSSIBLE - 0.1, ("It may be the address of an API.", *reasons), params, address.host)


def graphql(clue: Clue) -> Guess | None:
    """An API that answers queries of GraphQL, from its address or a command of curl."""
    address = clue.address
    if address is None or address.scheme not in ("http", "https") or not address.host or not _queried(address):
        return None
    params, reasons = _signed_in(address)
    query = {name: value for name, value in address.query.items() if not _SECRET.search(name)}
    told = f"?{urlencode(query)}" if query else ""
    params |= {"base_url": f"{_origin(address)}{quote(address.path)}{told}"}
    return Guess(CERTAIN - 0.02, ("Its address ends in graphql.", *reasons), params, address.host)


def _queried(address: Address) -> bool:
    last = address.path.rstrip("/").rpartition("/")[2].lower()
    return last in ("graphql", "graphql.json")


def _signed_in(address: Address) -> tuple[dict[str, Any], tuple[str, ...]]:
    """How the clue signs in to an API: with a header, or a key among the parameters."""
    params, reasons = _let_in(address, "api_key")
    key = next((name for name in address.query if _SECRET.search(name) and not _SIGNED.search(name)), "")
    if key and "auth" not in params:
        params |= {"auth": "api_key", "key_name": key, "key_in": "query", "token": address.query[key]}
        reasons += (f"Its parameter {key} is taken as the key.",)
    return params, reasons


def _answer(clue: Clue) -> Guess | None:
    """A sample that is JSON may be what an API answers."""
    if clue.format != "json":
        return None
    text = clue.sample[:LONGEST].decode(errors="replace") or clue.text[:LONGEST]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    params: dict[str, Any] = {}
    records = next((each for each in (*_RECORDS, *found) if isinstance(found.get(each), list)), "")
    if not records or re.search(r'[\s"*\[\]]', records):
        return None
    params["records"] = records
    following = next((name for name in found if name.lower() in _NEXT), "")
    if following:
        params |= {"pagination": "cursor", "next_path": following}
    reason = (
        f"It is JSON with a list at {records}, as APIs answer." if records in _RECORDS else "APIs answer like that."
    )
    return Guess(POSSIBLE + 0.05 if following else POSSIBLE, (reason,), params)


def _let_in(address: Address, key: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """How the clue signs in. key: how this connector calls a key in a header of its own."""
    if address.user and address.password:
        return {"auth": "basic", "user": address.user, "password": address.password}, ()
    for name, value in address.headers.items():
        scheme, _, rest = value.partition(" ")
        if name == "authorization" and scheme.lower() == "bearer" and rest:
            return {"auth": "bearer", "token": rest.strip()}, ()
        if name == "authorization" and scheme.lower() == "basic" and (told := _decoded(rest.strip())):
            return {"auth": "basic", "user": told[0], "password": told[1]}, ()
        if name not in ("authorization", "cookie") and _SECRET.search(name) and value:
            called = {"header": name} if key == "header" else {"key_name": name, "key_in": "header"}
            return {"auth": key, "token": value, **called}, ()
    return {}, ()


def _decoded(text: str) -> tuple[str, str] | None:
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (user, password) if colon else None


def _kept(address: Address) -> dict[str, str]:
    """The query without what looks like a secret: parameters of a source are shown to everybody who may see it."""
    return {name: value for name, value in address.query.items() if not _SECRET.search(name)}


def _left_out(address: Address) -> tuple[str, ...]:
    """What `_kept` leaves out, in a sentence."""
    names = ", ".join(name for name in address.query if _SECRET.search(name))
    if not names:
        return ()
    said = (
        f"{names} looks like a secret, which no address keeps, and is left out. If it can be sent as a header, choose "
        "that."
    )
    return (said,)


def _without_secrets(address: Address) -> str:
    scheme = "https" if address.scheme.endswith("s") or "dav" in address.scheme else "http"
    kept = _kept(address)
    path = quote(address.path or "/", safe="/%:@!$&'()*+,;=~")
    return _origin(address, scheme) + path + (f"?{urlencode(kept)}" if kept else "")


def _origin(address: Address, scheme: str = "") -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{scheme or address.scheme}://{host}" + (f":{address.port}" if address.port else "")


def _parted(path: str) -> tuple[str, str]:
    """What the paths of all streams begin with, and the path of the one that was named."""
    bare = path.rstrip("/")
    base, slash, last = bare.rpartition("/")
    if not last or _VERSION.fullmatch(last) or last.lower() in ("api", "rest"):
        return bare, ""
    return base, slash + last


def _paged(query: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the parameters say of pages, and the others."""
    params: dict[str, Any] = {}
    way = next((each for each in ("page", "offset") if query.get(each, "").isdecimal()), "")
    size = next((each for each in _SIZES if query.get(each, "").isdecimal()), "")
    if way:
        params |= {"pagination": way, "first_page": 0 if query[way] == "0" and way == "page" else 1}
        if size and 0 < int(query[size][:6]) <= 100_000:
            params |= {"size_parameter": size, "page_size": int(query[size][:6])}
    used = {way, params.get("size_parameter", "")}
    return params, {name: value for name, value in query.items() if name not in used}


def _api_like(address: Address) -> bool:
    words = address.path.lower().split("/")
    return (
        address.host.startswith(("api.", "api-"))
        or bool({"api", "rest", "graphql", "odata"} & set(words))
        or any(_VERSION.fullmatch(each) for each in words)
    )


def _is_file(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    for each in COMPRESSED:
        name = name.removesuffix(each)
    return name.endswith(tuple(SUFFIXES))
