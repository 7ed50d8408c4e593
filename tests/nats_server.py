"""A NATS server with JetStream, from its PyPI wheel, on loopback."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "reader", "s3cret"
BY_PASSWORD = f'authorization {{ user: {USER}, password: "{PASSWORD}" }}'
_PORTS = "nats-server_*.ports"


@contextmanager
def nats_server(
    folder: Path, *, jetstream: bool = True, entrance: str = BY_PASSWORD, certificate: Path | None = None
) -> Iterator[int]:
    """Its port. It listens on one that is free, and writes down which. certificate: PEM with its key, for TLS."""
    config = folder / "nats.conf"
    storing = f'jetstream {{ store_dir: "{folder}" }}\n' if jetstream else ""
    secure = f'tls {{ cert_file: "{certificate}", key_file: "{certificate}" }}\n' if certificate else ""
    config.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\n{storing}{entrance}\n{secure}')
    program = Path(sys.executable).with_name("nats-server")
    process = subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL)
    try:
        yield _port(folder, process)
    finally:
        process.terminate()
        process.wait(60)


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for each in folder.glob(_PORTS):
            if (text := each.read_text()).rstrip().endswith("}"):
                return int(text.partition("://127.0.0.1:")[2].partition('"')[0])
        assert process.poll() is None, "the server has ended"
        time.sleep(0.02)
    raise AssertionError("the server does not say where it listens")
