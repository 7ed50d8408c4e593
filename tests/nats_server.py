"""A NATS server with JetStream, from its PyPI wheel, on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import nats

USER, PASSWORD = "reader", "s3cret"
BY_PASSWORD = f'authorization {{ user: {USER}, password: "{PASSWORD}" }}'
# So long the client waits for the server, whose answers are there long before; a busy machine may need it.
PATIENCE = 60
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


def send_all(port: int, stream: str, values: Iterable[bytes]) -> None:
    """Messages for a stream, made if it is not there; the last alone is waited for, since the stream keeps their order.

    In a thread of its own: the browser's driver leaves a loop running in that of the tests.
    """

    async def sent() -> None:
        given = {"user": USER, "password": PASSWORD, "connect_timeout": PATIENCE, "drain_timeout": PATIENCE}
        client = await nats.connect(f"nats://127.0.0.1:{port}", **given)
        jetstream = client.jetstream(timeout=PATIENCE)
        await jetstream.add_stream(name=stream, subjects=[f"{stream}.>"])
        *early, last = values
        for each in early:
            await client.publish(f"{stream}.new", each)
        await jetstream.publish(f"{stream}.new", last)
        await client.drain()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, sent()).result()


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        for each in folder.glob(_PORTS):
            if (text := each.read_text()).rstrip().endswith("}"):
                return int(text.partition("://127.0.0.1:")[2].partition('"')[0])
        assert process.poll() is None, "the server has ended"
        time.sleep(0.02)
    raise AssertionError("the server does not say where it listens")
