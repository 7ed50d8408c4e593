"""A connection test, stage by stage, and the first of them: whether the server's port answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator

from dataplane import net
from dataplane.connectors.base import Stage
from dataplane.errors import ManifoldError, TransientError

CONNECT_SECONDS = 10


def staged(stages: Iterable[tuple[str, Callable[[], str]]]) -> Iterator[Stage]:
    """Run each stage and yield it as it ends; none after the first that fails."""
    for name, run in stages:
        began = time.monotonic()
        try:
            detail = run()
        except ManifoldError as error:
            yield Stage(name, False, time.monotonic() - began, error.message, error)
            return
        yield Stage(name, True, time.monotonic() - began, detail)


def reachable(host: str, port: int, server: str) -> str:
    """The first address of a host that takes a connection. `server`: what should listen there, for the errors.

    Raises ManifoldError.
    """
    failure: OSError | None = None
    for address in net.resolve(host, port):
        try:
            socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            failure = error
        else:
            return address
    raise _unreachable(host, port, server, failure)


def _unreachable(host: str, port: int, server: str, error: OSError | None) -> ManifoldError:
    evidence = {"host": host, "port": port}
    if isinstance(error, ConnectionRefusedError):
        return TransientError(
            f"Nothing listens at {host}:{port}. Check the port, and that {server} runs and accepts connections from "
            "other machines.",
            code="connection_refused",
            evidence=evidence,
        )
    if isinstance(error, TimeoutError):
        return TransientError(
            f"{host}:{port} did not answer within {CONNECT_SECONDS} s. Check the address and that no firewall is in "
            "between.",
            code="connection_timeout",
            evidence=evidence,
        )
    return TransientError(
        f"{host}:{port} cannot be reached: {error and error.strerror}. Check the network between the machines.",
        code="unreachable",
        evidence=evidence,
    )
