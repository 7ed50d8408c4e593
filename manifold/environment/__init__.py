"""Every setting of Manifold, declared once: name, type, default and what it is for.

Settings are environment variables and nothing else. A secret may also come from a file named by `NAME_FILE`, or from
`$MANIFOLD_HOME/secrets/`, where `manifold up` keeps what it generated. `docs/settings.md` and the test that guards it
are made from `SETTINGS`, so a setting that is not declared here does not exist. This module imports no Django.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifold.environment import values
from manifold.environment.setting import Setting, data_folder


def _text(name: str, default: str, doc: str, *, secret: bool = False) -> Setting[str]:
    return Setting(name, "a text", str, default, doc, secret)


def _flag(name: str, default: bool, doc: str) -> Setting[bool]:
    return Setting(name, "true or false", values.boolean, default, doc)


def _count(name: str, default: int, doc: str) -> Setting[int]:
    return Setting(name, "a whole number", values.positive, default, doc)


def _bytes(name: str, default: int, doc: str) -> Setting[int]:
    return Setting(name, "a size", values.size, default, doc)


DATABASE_URL = _text(
    "DATABASE_URL",
    "",
    "PostgreSQL of the platform, postgresql://user:password@host:port/name. Unset: the embedded one.",
    secret=True,
)
DATABASE_ADMIN_URL = _text(
    "DATABASE_ADMIN_URL",
    "",
    "The same database as a role that owns the tables: migrations run as it, and the role of DATABASE_URL owns no "
    "audit table.",
    secret=True,
)
DATABASE_POOLER = _flag(
    "MANIFOLD_DATABASE_POOLER",
    False,
    "A pooler that gives each transaction another session, such as PgBouncer with `pool_mode = transaction`, stands "
    "before PostgreSQL: no statement is prepared.",
)
REDIS_URL = _text(
    "REDIS_URL",
    "",
    "Redis or Valkey of the platform, redis://:password@host:port/0. Unset: the embedded one.",
    secret=True,
)
HOME = Setting("MANIFOLD_HOME", "a folder", Path, Path(".manifold"), "Data folder of this installation.")
STORAGE_URL = _text(
    "MANIFOLD_STORAGE_URL",
    "",
    "Where data files are kept, file:///absolute/folder. Unset: the folder `storage` of MANIFOLD_HOME.",
)
SECRET_KEY = _text(
    "MANIFOLD_SECRET_KEY", "", "Signs sessions and keys the digests of tokens. `manifold up` generates it.", secret=True
)
MASTER_KEY = _text(
    "MANIFOLD_MASTER_KEY",
    "",
    "Encrypts credentials: 32 bytes in base64, optionally `version:key`, several separated by commas, the newest "
    "first. `manifold up` generates it. Losing it loses every stored credential.",
    secret=True,
)
FILE_ROOTS: Setting[list[Path]] = Setting(
    "MANIFOLD_FILE_ROOTS",
    "a list of absolute folders",
    values.folders,
    [],
    "Folders that file sources may read, separated by commas. Unset: the folder `files` of MANIFOLD_HOME.",
)
NET_ALLOW: Setting[list[str]] = Setting(
    "MANIFOLD_NET_ALLOW",
    "a list of networks",
    values.parts,
    [],
    "Private networks (10.1.0.0/16, …) that HTTP connectors and webhooks may reach; they refuse private addresses "
    "otherwise.",
)
HISTORY_DAYS = _count(
    "MANIFOLD_HISTORY_DAYS", 400, "Days for which the ingestion history is kept: what each run made of each stream."
)
UPLOAD_SIZE = _bytes("MANIFOLD_UPLOAD_SIZE", 1 * 2**30, "Largest file that may be uploaded to a source.")
STRICT_STARTUP = _flag(
    "MANIFOLD_STRICT_STARTUP",
    False,
    "Refuse to start while disk, memory, storage, keys, clock, the issuer or the folders of MANIFOLD_FILE_ROOTS are "
    "not well, instead of saying so. Without PostgreSQL and Redis it never starts.",
)
STEP_MEMORY = _bytes(
    "MANIFOLD_STEP_MEMORY", 1 * 2**30, "Memory that DuckDB may use in one step before it spills to disk."
)
SQL_MEMORY = _bytes("MANIFOLD_SQL_MEMORY", 1 * 2**30, "Memory that one interactive query may use.")
SQL_SECONDS = _count("MANIFOLD_SQL_SECONDS", 30, "An interactive query that takes longer than this is stopped.")
SQL_CONCURRENCY = _count(
    "MANIFOLD_SQL_CONCURRENCY", 4, "Interactive queries that each web process answers at the same time."
)
STEP_THREADS = _count("MANIFOLD_STEP_THREADS", 2, "Threads of DuckDB in one step.")
LEASE_SECONDS = _count(
    "MANIFOLD_LEASE_SECONDS", 60, "After this long without a heartbeat a running step counts as lost."
)
HEARTBEAT_SECONDS = _count("MANIFOLD_HEARTBEAT_SECONDS", 10, "How often a running step renews its lease.")
BIND = _text("MANIFOLD_BIND", "127.0.0.1", "Address on which `manifold up` serves the console and the API.")
PORT = Setting(
    "MANIFOLD_PORT", "a port", values.port, 8480, "Port on which `manifold up` serves the console and the API."
)
WORKERS = _count("MANIFOLD_WORKERS", 2, "Steps that run at the same time on this machine.")
WEB_WORKERS = _count("MANIFOLD_WEB_WORKERS", 2, "Processes that serve the console and the API.")
WEB_THREADS = _count("MANIFOLD_WEB_THREADS", 8, "Threads of each of these processes.")
WORKER_MAX_MEMORY = _bytes(
    "MANIFOLD_WORKER_MAX_MEMORY", 2 * 2**30, "A worker process that holds more than this after a step is replaced."
)
FLOWER_URL = _text(
    "MANIFOLD_FLOWER_URL",
    "",
    "Where `manage.py flower` listens, http://host:port, for the console's page /flower/. `manifold up` starts one.",
)
FLOWER_OPERATORS = _flag(
    "MANIFOLD_FLOWER_OPERATORS",
    False,
    "Flower is open to whoever may operate every project that there is, too. It knows no projects, so otherwise only "
    "superusers see it.",
)
HTTPS = _flag(
    "MANIFOLD_HTTPS",
    False,
    "The console is reached through HTTPS (a proxy ends it): secure cookies, HSTS, redirect from HTTP.",
)
ALLOWED_HOSTS: Setting[list[str]] = Setting(
    "MANIFOLD_ALLOWED_HOSTS",
    "a list of names",
    values.parts,
    ["localhost", "127.0.0.1", "[::1]"],
    "Host names under which the console may be reached, separated by commas.",
)
TRUSTED_ORIGINS: Setting[list[str]] = Setting(
    "MANIFOLD_TRUSTED_ORIGINS",
    "a list of origins",
    values.parts,
    [],
    "Origins (https://manifold.example.org) whose forms are accepted when a proxy changes the host name.",
)
SESSION_HOURS = _count("MANIFOLD_SESSION_HOURS", 12, "A sign-in ends after this many hours without a request.")
SIGN_IN_ATTEMPTS = _count(
    "MANIFOLD_SIGN_IN_ATTEMPTS",
    5,
    "After so many wrong passwords for one user name from one address, neither is heard from the other for a while.",
)
SIGN_IN_LOCK_MINUTES = _count("MANIFOLD_SIGN_IN_LOCK_MINUTES", 15, "How long that while is.")
REQUIRE_MFA = _flag(
    "MANIFOLD_REQUIRE_MFA",
    False,
    "Everybody needs a second factor: whoever signs in to the console without one sets it up before anything else. "
    "API tokens are not affected.",
)
OIDC_ISSUER = Setting(
    "MANIFOLD_OIDC_ISSUER",
    "an address",
    values.issuer,
    "",
    "OpenID Connect issuer through which people sign in to the console, https://login.example.org/realms/x. Its "
    "callback address is /login/oidc/callback/. Unset: there is none.",
)
OIDC_CLIENT_ID = _text("MANIFOLD_OIDC_CLIENT_ID", "", "What the issuer calls this installation.")
OIDC_CLIENT_SECRET = _text(
    "MANIFOLD_OIDC_CLIENT_SECRET",
    "",
    "What proves it to the issuer. Unset: a public client, with PKCE alone.",
    secret=True,
)
OIDC_TITLE = _text("MANIFOLD_OIDC_TITLE", "single sign-on", "What the button calls it: *Sign in with …*.")
OIDC_SCOPES: Setting[list[str]] = Setting(
    "MANIFOLD_OIDC_SCOPES",
    "a list of scopes",
    values.parts,
    ["openid", "email", "profile"],
    "What the issuer is asked for; `openid` has to be among it.",
)
OIDC_EMAIL_CLAIM = _text(
    "MANIFOLD_OIDC_EMAIL_CLAIM",
    "email",
    "The claim with the e-mail address. It counts only where the issuer says that it is verified.",
)
OIDC_EMAIL_VERIFIED_CLAIM = _text(
    "MANIFOLD_OIDC_EMAIL_VERIFIED_CLAIM",
    "",
    "The claim that is `true` when that very address is verified. Unset: `email_verified` for the claim `email`; for "
    "any other there is none, and its addresses open no account.",
)
OIDC_DOMAINS: Setting[list[str]] = Setting(
    "MANIFOLD_OIDC_DOMAINS",
    "a list of domains",
    lambda text: [each.lower().removeprefix("@") for each in values.parts(text)],
    [],
    "Only verified e-mail addresses of these domains are let in. Unset: of any.",
)
OIDC_NEW_PEOPLE = _flag(
    "MANIFOLD_OIDC_NEW_PEOPLE",
    False,
    "Whoever the issuer lets in and nobody knows gets an account, a member of nothing. Otherwise only people with an "
    "account of that e-mail address, and those who follow an invitation.",
)
OIDC_ONLY = _flag(
    "MANIFOLD_OIDC_ONLY", False, "Passwords are for superusers only; everybody else signs in through the issuer."
)
OIDC_MFA = _flag(
    "MANIFOLD_OIDC_MFA",
    False,
    "The issuer asks for a second factor itself, so Manifold asks nobody who comes through it for another.",
)
OIDC_GROUPS_CLAIM = _text("MANIFOLD_OIDC_GROUPS_CLAIM", "groups", "The claim with a person's groups.")
OIDC_GROUPS: Setting[list[tuple[str, str, str]]] = Setting(
    "MANIFOLD_OIDC_GROUPS",
    "a list of group=project:role",
    values.group_roles,
    [],
    "Roles by group, set at each sign-in: the highest wins, and whoever is in no group named for a project leaves it. "
    "Projects that are not named here are left alone.",
)
TOKEN_GUESSES = _count(
    "MANIFOLD_TOKEN_GUESSES", 30, "Unknown API tokens from one address in a minute that are answered 401; more get 429."
)
HOOK_MESSAGES = _count(
    "MANIFOLD_HOOK_MESSAGES",
    120,
    "Rightly signed messages to one inbound trigger in a minute, and others from one address to `/hooks/`; then 429.",
)
INBOX_EVENTS = _count(
    "MANIFOLD_INBOX_EVENTS", 6000, "Rightly signed events to one source of inbound webhooks in a minute; more get 429."
)
INBOX_KEPT = _count(
    "MANIFOLD_INBOX_KEPT",
    10_000_000,
    "Events that one source of inbound webhooks keeps, whether loaded or not; while it is full, more get 429.",
)
PROXIES = Setting(
    "MANIFOLD_PROXIES",
    "a whole number, zero for none",
    values.natural,
    0,
    "How many proxies of your own stand in front. So many addresses at the end of X-Forwarded-For are believed; "
    "without it, everybody behind a proxy has the proxy's address.",
)
LOG_LEVEL = Setting(
    "MANIFOLD_LOG_LEVEL",
    "a level",
    values.choice("debug", "info", "warning", "error"),
    "info",
    "Least severe log line that is written.",
)
LOG_FORMAT = Setting(
    "MANIFOLD_LOG_FORMAT",
    "auto, json or text",
    values.choice("auto", "json", "text"),
    "auto",
    "`auto` writes readable lines to a terminal and JSON elsewhere.",
)
FAILPOINTS = _text(
    "MANIFOLD_FAILPOINTS",
    "",
    "Only for the fault tests: where a step stops or dies on purpose. Never set it elsewhere.",
)
URL = _text(
    "MANIFOLD_URL", "", "Address of the platform for the `manifold` command. Unset: what `manifold up` left behind."
)
TOKEN = _text(
    "MANIFOLD_TOKEN", "", "API token of the `manifold` command. Unset: what `manifold up` left behind.", secret=True
)
PROJECT = _text("MANIFOLD_PROJECT", "default", "Project that the `manifold` command works in.")
BACKUP_PASSPHRASE = _text(
    "MANIFOLD_BACKUP_PASSPHRASE",
    "",
    "Seals the keys in a backup, and opens them again. Unset: `manifold backup` and `restore` ask for it.",
    secret=True,
)
DEMO_DATABASE_URL = _text(
    "MANIFOLD_DEMO_DATABASE_URL",
    "",
    "Empty PostgreSQL database for the reference tables of `manifold demo`. Unset: a database of the embedded server.",
    secret=True,
)

SETTINGS: list[Setting[Any]] = [value for value in list(globals().values()) if isinstance(value, Setting)]


def storage_url(env: Mapping[str, str] | None = None) -> str:
    """The storage root, with its default inside the data folder."""
    return STORAGE_URL.read(env) or (data_folder(env) / "storage").as_uri()


def file_roots(env: Mapping[str, str] | None = None) -> list[Path]:
    """The folders that file sources may read, with their default inside the data folder."""
    return FILE_ROOTS.read(env) or [data_folder(env) / "files"]


def email_verified_claim(env: Mapping[str, str] | None = None) -> str:
    """The claim that says of the address whether it is verified; empty where none is known to belong to it."""
    return OIDC_EMAIL_VERIFIED_CLAIM.read(env) or ("email_verified" if OIDC_EMAIL_CLAIM.read(env) == "email" else "")


def as_markdown() -> str:
    """The page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Environment variables and nothing else. A secret may also come from a file named by `NAME_FILE`;",
        "`manifold up` keeps what it generates in `$MANIFOLD_HOME/secrets/`. Sizes are bytes or `512MB`, `2GB`; lists",
        "are separated by commas. `make docs` writes this page.",
        "",
        "| name | value | default | what it is for |",
        "|---|---|---|---|",
    ]
    for setting in sorted(SETTINGS, key=lambda each: each.name):
        default = f"`{setting.shown}`" if setting.shown else ""
        kind = f"{setting.kind}, secret" if setting.secret else setting.kind
        lines.append(f"| `{setting.name}` | {kind} | {default} | {setting.doc} |")
    return "\n".join(lines) + "\n"
