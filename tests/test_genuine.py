"""Clients of the network cannot be replaced by a test; everything else can."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import httpx
import paramiko
import psycopg
import pytest

from manifold import client


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (httpx, "get"),
        (httpx.Client, "request"),
        (socket.socket, "connect"),
        (psycopg.Connection, "connect"),
        (client, "httpx"),
        ("httpx.get", None),
    ],
)
def test_a_client_is_not_replaced(target: Any, name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception, match="a real server on loopback"):
        monkeypatch.setattr(target, name, lambda *_: None)


def test_what_is_ours_and_constants_may_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paramiko.Transport, "_preferred_ciphers", ("aes256-ctr",))
    monkeypatch.setattr(client, "LARGEST_PAGE", 3)
    monkeypatch.setattr(SimpleNamespace(a=1), "a", 2)
    assert client.LARGEST_PAGE == 3
