"""A ceiling for what a piece of work may allocate: some of DuckDB's operators do not heed its own memory limit."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def address_space(extra: int) -> Iterator[None]:
    """Let the process grow by at most `extra` bytes of address space within; beyond it, allocations fail.

    The limit is soft and taken back at the end. It counts from what is mapped now, because what a long-lived worker
    has mapped once it never gives back. Where the system does not tell (no /proc), nothing is limited.
    """
    mapped = _mapped()
    if mapped is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = mapped + extra
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _mapped() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()
