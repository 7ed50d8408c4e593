"""The embedded Valkey: loopback only, with a password, an append-only file and no eviction."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from manifold.embedded.errors import EmbeddedError


@dataclass
class Valkey:
    """One server with its files in `data`."""

    data: Path
    program: Path
    port: int
    password: str
    durable: bool = True

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self, output: int | IO[bytes], *, preexec: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        """Start the server as a child of this process. It is not ready yet.

        The configuration goes through standard input: a command line shows its password to everybody.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        server = subprocess.Popen(
            [str(self.program), "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=preexec,  # noqa: PLW1509  callers have no threads
            cwd=self.data,
        )
        assert server.stdin is not None
        server.stdin.write(self._configuration().encode())
        server.stdin.close()
        return server

    def _configuration(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            "protected-mode yes",
            f'dir "{self.data}"',
            "pidfile valkey.pid",
            "daemonize no",
            # A broker that forgets messages to save memory would stall runs until the next sweep.
            "maxmemory-policy noeviction",
            'save ""',
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            "databases 16",
        ]
        return "\n".join(lines) + "\n"

    def is_ready(self) -> bool:
        """Whether it answers now; while it still loads its file it does not."""
        # One attempt: the client's own retries would make each look at a starting server take seconds.
        once = Retry(NoBackoff(), 0)
        client = redis.Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=1, retry=once)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def wait_until_ready(self, server: subprocess.Popen[bytes], seconds: float = 30) -> None:
        """Returns as soon as it answers. Raises EmbeddedError when it dies or takes longer."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if server.poll() is not None:
                raise EmbeddedError(f"Valkey in {self.data} stopped while starting (status {server.returncode}).")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Valkey in {self.data} was not ready after {seconds:.0f} s.")
            time.sleep(0.02)
