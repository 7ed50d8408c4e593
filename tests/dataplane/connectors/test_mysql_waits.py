"""A server for MySQL that takes a connection and says nothing: nobody waits for it as long as for a statement."""

from __future__ import annotations

import socket

import pytest

from dataplane.connectors.mysql import session
from dataplane.connectors.mysql.params import MySQLParams
from dataplane.errors import TransientError


def test_a_greeting_is_not_waited_for_as_long_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        params = MySQLParams(host="127.0.0.1", port=port, user="ann", database="shop")
        with pytest.raises(TransientError):
            session.sign_in(params, "127.0.0.1", 6 * 3600)
