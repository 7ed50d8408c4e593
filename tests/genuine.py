"""No test replaces a client of the network: the far end is a real server on loopback (see CONTRIBUTING.md).

A pytest plugin. Constants of a client, such as the ciphers it offers, may be changed. ruff refuses `unittest.mock`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

CLIENTS = {"boto3", "botocore", "clickhouse_connect", "confluent_kafka", "ftplib", "http", "httpx", "kombu", "nats"}
CLIENTS |= {"oracledb", "paramiko", "psycopg", "pymongo", "pymysql", "redis", "requests", "smtplib", "snowflake"}
CLIENTS |= {"socket", "_socket", "ssl", "trino", "urllib", "urllib3"}
_setattr = pytest.MonkeyPatch.setattr


def _of(thing: Any) -> str:
    """The name of the package that a module, a class or a function is from."""
    found = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    return str(found).partition(".")[0]


def _replaces_a_client(target: Any, name: Any) -> bool:
    if isinstance(target, str):
        return target.partition(".")[0] in CLIENTS
    old = getattr(target, name, None)
    return (callable(old) or isinstance(old, ModuleType)) and not CLIENTS.isdisjoint({_of(target), _of(old)})


def _guarded(patch: pytest.MonkeyPatch, target: Any, name: Any, *rest: Any, **options: Any) -> None:
    if _replaces_a_client(target, name):
        pytest.fail(f"{target} {name}: a client of the network is not replaced. Start a real server on loopback.")
    _setattr(patch, target, name, *rest, **options)


def pytest_configure() -> None:
    pytest.MonkeyPatch.setattr = _guarded  # type: ignore[assignment]


def pytest_unconfigure() -> None:
    pytest.MonkeyPatch.setattr = _setattr  # type: ignore[method-assign]
