"""Free ports, and who holds one that is not free."""

from __future__ import annotations

import errno
import random
import socket

import psutil

# Below the range from which systems take the ports of outgoing connections.
_FIRST, _LAST = 20000, 32000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_port(*, avoid: tuple[int, ...] = ()) -> int:
    """A port of the loopback interface on which nobody listens now."""
    for _ in range(200):
        port = random.randint(_FIRST, _LAST)
        if port not in avoid and is_free(port):
            return port
    raise OSError(f"No free port between {_FIRST} and {_LAST} on 127.0.0.1.")


def holder(port: int) -> str:
    """Who listens on the port, as far as this account may see; empty when it may not."""
    try:
        listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    except (psutil.AccessDenied, OSError):
        return ""
    for each in listening:
        if each.laddr and each.laddr.port == port and each.pid:
            try:
                return f"{psutil.Process(each.pid).name()} (process {each.pid})"
            except psutil.Error:
                return f"process {each.pid}"
    return ""
