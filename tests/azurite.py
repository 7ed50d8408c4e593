"""Azurite, Microsoft's own imitation of Azure Blob Storage, on loopback, and an account of it to write to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx

ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key of nobody's that is long enough for an account, sixty-four").decode()
_VERSION = "2021-12-02"


def command() -> str | None:
    """Where it is: installed by .ci/run beside the interpreter, or by somebody else."""
    beside = Path(sys.prefix) / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    return str(beside) if beside.exists() else shutil.which("azurite-blob")


@dataclass
class Azurite:
    """A running server. trusted: the certificate that it shows, where it speaks TLS."""

    endpoint: str
    trusted: Path | None = None

    def make(self, container: str) -> None:
        self._put(f"/{container}?restype=container")

    def put(self, container: str, name: str, content: bytes) -> None:
        self._put(f"/{container}/{quote(name)}", content, {"x-ms-blob-type": "BlockBlob"})

    def delete(self, container: str, name: str) -> None:
        self._sent("DELETE", f"/{container}/{quote(name)}", b"", {})

    def _put(self, place: str, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self._sent("PUT", place, content, headers or {})

    def _sent(self, method: str, place: str, content: bytes, headers: dict[str, str]) -> None:
        url = f"{self.endpoint}{place}"
        told = {**headers, "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True), "x-ms-version": _VERSION}
        parts = urlsplit(url)
        length = str(len(content)) if content else ""
        lines = [method, "", "", length, "", "application/octet-stream", "", "", "", "", "", ""]
        lines += [f"{name}:{told[name]}" for name in sorted(told)]
        lines += [f"/{ACCOUNT}{parts.path}", *(f"{name}:{value}" for name, value in sorted(parse_qsl(parts.query)))]
        told["Content-Type"] = "application/octet-stream"
        told["Authorization"] = f"SharedKey {ACCOUNT}:{signature(chr(10).join(lines))}"
        trust = ssl.create_default_context(cafile=self.trusted)
        httpx.request(method, url, content=content, headers=told, trust_env=False, verify=trust).raise_for_status()


def signature(text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()


def shared_access(permissions: str = "rl") -> str:
    """A signature for the whole account, good for an hour (account SAS, version 2021-12-02)."""
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [ACCOUNT, permissions, "b", "sco", "", until, "", "", _VERSION, "", ""]
    told = {"sv": _VERSION, "ss": "b", "srt": "sco", "sp": permissions, "se": until}
    return urlencode({**told, "sig": signature("\n".join(lines))})


@contextmanager
def serving(program: str, folder: Path, certificate: Path | None = None) -> Iterator[Azurite]:
    """The server while the block lasts, with its files in the folder.

    certificate: for `localhost`, with its key; with it the server takes tokens of Entra ID. It reads their claims, and
    does not look who has signed them.
    """
    words = [program, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(folder), "--disableTelemetry"]
    if certificate:
        words += ["--oauth", "basic", "--cert", str(certificate), "--key", str(certificate)]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    said = folder / "said"
    with said.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out, env=environment) as process:
        try:
            address = _address(process, said).replace("127.0.0.1", "localhost" if certificate else "127.0.0.1")
            yield Azurite(f"{address}/{ACCOUNT}", certificate)
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], said: Path) -> str:
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"successfully listens on (https?://127\.0\.0\.1:\d+)\n", said.read_text()):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"Azurite did not start: {said.read_text()}")
