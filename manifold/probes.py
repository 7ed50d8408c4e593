"""What Manifold stands on, asked one by one: each answers whether it is well, how long it took, and how to mend it.

Used by `manifold doctor`, which works without a server, and by the health pages of one. Imports no Django.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import ssl
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import psutil
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from manifold import environment
from manifold.environment.setting import SettingError

LEAST_DISK = 2 * 2**30
LEAST_MEMORY = 512 * 2**20
LARGEST_CLOCK_DIFFERENCE = 2.0


@dataclass(frozen=True)
class Finding:
    """What a probe found: the `components` of a status. `remedy` is empty when all is well."""

    name: str
    up: bool
    detail: str
    seconds: float
    remedy: str = ""


class Unwell(Exception):
    """What is wrong, and how to mend it."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


Probe = Callable[[], str]


def ask(name: str, probe: Probe) -> Finding:
    """Run one probe and time it. A probe returns what is well, or raises Unwell."""
    began = time.perf_counter()
    try:
        detail, remedy, up = probe(), "", True
    except Unwell as unwell:
        detail, remedy, up = unwell.detail, unwell.remedy, False
    except SettingError as error:
        detail, remedy, up = str(error), "Correct the setting.", False
    except PermissionError as error:
        detail, up = f"This account may not look at {error.filename}.", False
        remedy = "Start as the account it belongs to."
    return Finding(name, up, detail, round(time.perf_counter() - began, 4), remedy)


def ask_all(probes: Iterable[tuple[str, Probe]]) -> list[Finding]:
    return [ask(name, probe) for name, probe in probes]


def database() -> str:
    """PostgreSQL answers and is new enough."""
    with connect() as connection:
        version = connection.info.server_version // 10000
        if version < 15:
            raise Unwell(f"PostgreSQL {version} is too old.", "Manifold needs PostgreSQL 15 or newer; upgrade it.")
        return f"PostgreSQL {version} answers"


def clock() -> str:
    """This machine's clock agrees with the database's, by which leases are measured."""
    with connect() as connection:
        before = datetime.now(UTC)
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        after = datetime.now(UTC)
    assert row is not None
    difference = abs((row[0] - (before + (after - before) / 2)).total_seconds())
    if difference > LARGEST_CLOCK_DIFFERENCE:
        raise Unwell(
            f"This machine's clock differs from the database's by {difference:.1f} s.",
            "Let both follow the same time server (timedatectl, chronyc).",
        )
    return f"within {difference * 1000:.0f} ms of the database's"


def connect() -> psycopg.Connection[tuple[datetime]]:
    """The database by its setting. Raises Unwell."""
    url = environment.DATABASE_URL.read()
    if not url:
        raise Unwell("No database is known.", "Start the platform with `manifold up`, or set DATABASE_URL.")
    try:
        return psycopg.connect(url, connect_timeout=3, autocommit=True)
    except psycopg.Error as error:
        # Below the reason stands a question, set in, whether the server runs.
        said = [each for each in str(error).splitlines() if each.strip() and not each.startswith("\t")]
        reason = said[-1].rpartition(" failed: ")[2].strip()
        raise Unwell(
            f"PostgreSQL at {place(url)} does not let us in: {reason}",
            "Start it (`manifold up` starts the embedded one), or correct DATABASE_URL.",
        ) from error


def broker() -> str:
    """Redis or Valkey answers and will not forget messages to save memory."""
    url = environment.REDIS_URL.read()
    if not url:
        raise Unwell("No Redis is known.", "Start the platform with `manifold up`, or set REDIS_URL.")
    try:
        with broker_client(url) as client:
            client.ping()
            info = client.info("memory")
    except (redis.RedisError, ValueError, OSError) as error:
        raise Unwell(
            f"Redis at {place(url)} does not answer: {error}",
            "Start it (`manifold up` starts the embedded one), or correct REDIS_URL.",
        ) from error
    policy = info.get("maxmemory_policy", "noeviction") if isinstance(info, dict) else "noeviction"
    if policy != "noeviction":
        raise Unwell(
            f"Redis may drop messages: its maxmemory-policy is {policy}.",
            "Set `maxmemory-policy noeviction` in its configuration.",
        )
    return "answers"


def broker_client(url: str) -> redis.Redis:
    """A client that asks once: its own retries would turn a look at a broker that is down into seconds."""
    return redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3, retry=Retry(NoBackoff(), 0))


def storage() -> str:
    """The storage root takes a file, gives it back and lets go of it."""
    root = storage_folder()
    name = root / f".probe-{uuid.uuid4().hex}"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(name, "wb") as file:
            file.write(b"manifold")
            file.flush()
            os.fsync(file.fileno())
        name.read_bytes()
        name.unlink()
    except OSError as error:
        raise Unwell(
            f"{root} cannot be written: {error.strerror}.",
            "Give this account the folder, make room, or name another in MANIFOLD_STORAGE_URL.",
        ) from error
    return f"{root} can be written"


def disk() -> str:
    """Room for data files and for what DuckDB spills."""
    folder = _existing(storage_folder())
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        raise Unwell(
            f"{size(free)} are free below {folder}.",
            f"Free some: at least {size(LEAST_DISK)}, and twice the size of the largest input.",
        )
    return f"{size(free)} free"


def memory() -> str:
    """Memory for the steps that may run at the same time."""
    available = psutil.virtual_memory().available
    steps, each = environment.WORKERS.read(), environment.STEP_MEMORY.read()
    if available < LEAST_MEMORY:
        raise Unwell(f"Only {size(available)} of memory are available.", "Stop other programs, or add memory.")
    if steps * each > psutil.virtual_memory().total:
        raise Unwell(
            f"{steps} steps of {size(each)} are more than this machine has.",
            "Lower MANIFOLD_STEP_MEMORY or MANIFOLD_WORKERS.",
        )
    return f"{size(available)} available"


def keys() -> str:
    """The keys that sign sessions and encrypt credentials are there and whole."""
    if len(environment.SECRET_KEY.read()) < 50:
        raise Unwell(
            "The key that signs sessions is missing or short.",
            "`manifold up` generates one; elsewhere set MANIFOLD_SECRET_KEY to 50 random characters or more.",
        )
    texts = [part for part in environment.MASTER_KEY.read().split(",") if part.strip()]
    if not texts:
        raise Unwell(
            "The key that encrypts credentials is missing.",
            "`manifold up` generates one; elsewhere set MANIFOLD_MASTER_KEY to 32 random bytes in base64.",
        )
    for text in texts:
        try:
            length = len(base64.b64decode(text.rpartition(":")[2].strip(), validate=True))
        except binascii.Error:
            length = 0
        if length != 32:
            raise Unwell(
                "MANIFOLD_MASTER_KEY is not 32 bytes in base64.",
                "Put back the key the credentials were encrypted with; a new one cannot read them.",
            )
    return "present"


def file_roots() -> str:
    """The folders that file sources may read are there."""
    roots = environment.file_roots()
    unreadable = [str(root) for root in roots if not os.access(root, os.R_OK | os.X_OK)]
    if unreadable:
        raise Unwell(
            f"{', '.join(unreadable)} cannot be read.", "Make the folder readable, or correct MANIFOLD_FILE_ROOTS."
        )
    return ", ".join(str(root) for root in roots)


def storage_folder() -> Path:
    """The local folder of the storage root. Raises Unwell for an address that is none."""
    parts = urlsplit(environment.storage_url())
    if parts.scheme != "file" or not parts.path.startswith("/"):
        raise Unwell(
            f"The storage address {environment.storage_url()!r} is not supported.",
            "Write MANIFOLD_STORAGE_URL=file:///an/absolute/folder.",
        )
    return Path(unquote(parts.path))


def issuer() -> str:
    """The OpenID Connect issuer answers, is the one that is meant, and vouches for the addresses that are taken."""
    named = environment.OIDC_ISSUER.read()
    address = f"{named.rstrip('/')}/.well-known/openid-configuration"
    try:
        # The certificates of the system, as at sign-in.
        with httpx.Client(trust_env=False, verify=ssl.create_default_context(), timeout=5) as client:
            answer = client.get(address)
        found = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unwell(
            f"The issuer at {place(named)} does not tell of itself: {str(error).splitlines()[0]}",
            f"Open {address} from this machine; start the issuer, or correct MANIFOLD_OIDC_ISSUER.",
        ) from error
    called = found.get("issuer", "") if isinstance(found, dict) else ""
    if str(called).rstrip("/") != named.rstrip("/"):
        raise Unwell(f"The issuer calls itself {called or 'nothing'}.", "Set MANIFOLD_OIDC_ISSUER to exactly that.")
    if not environment.email_verified_claim():
        raise Unwell(
            f"Nothing says whether the address in the claim {environment.OIDC_EMAIL_CLAIM.read()} is verified, so it "
            "opens no account.",
            "Name the claim that says so in MANIFOLD_OIDC_EMAIL_VERIFIED_CLAIM, or unset MANIFOLD_OIDC_EMAIL_CLAIM.",
        )
    return f"{place(named)} answers"


def place(url: str) -> str:
    """Host and port of an address, without its password."""
    return urlsplit(url).netloc.rpartition("@")[2] or "an unreadable address"


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TB"


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
