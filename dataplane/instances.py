"""DuckDB instances in memory, each for one piece of work; one is opened ahead of the next, one closed behind the last.

Opening takes some 9 ms of a processor, for DuckDB enters each of its functions into the catalogue: more than a small
query needs. A worker does that beside a step, so that the next finds its instance ready. Nobody has ever used it.
No thread that opens or closes one is a daemon: a process that ended beside it would be aborted within DuckDB.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

import duckdb


@dataclass(frozen=True)
class Size:
    """Bytes of memory and number of threads; None leaves DuckDB its own choice.

    unsigned: extensions are loaded without a look at their signature, which takes a sixth of a second each time. Only
    for those that were looked at before.
    """

    memory: int | None
    threads: int | None
    unsigned: bool = False


# What an instance may put beside its memory before it gives up; the disk itself is guarded by the error it raises.
_SPILL_FACTOR = 16

# Opening takes some 9 ms; who has waited that many seconds for one opened ahead opens one himself.
PATIENCE = 5.0

# Each change of them is one operation, which no other thread sees half done.
_ahead: dict[Size, Future[duckdb.DuckDBPyConnection]] = {}
_closing: list[threading.Thread] = []


def fresh(size: Size) -> duckdb.DuckDBPyConnection:
    """An instance that nobody has used: no extension is loaded, and it has no folder to spill into.

    Those that are being closed are waited for: what they held is free before anybody needs more.
    """
    with suppress(IndexError):
        while True:
            _closing.pop().join(PATIENCE)
    coming = _ahead.pop(size, None)
    if coming is not None:
        # Where one was wanted ahead, one follows the next: it is opened while this one works and its step is committed.
        open_ahead(size)
    try:
        if coming is not None and coming.exception(timeout=PATIENCE) is None:
            return coming.result()
    except TimeoutError:  # Its thread was never begun, or hangs.
        pass
    return _connected(size)


def open_ahead(size: Size) -> bool:
    """Begin to open an instance in a thread; False when one of that size is waiting already.

    Whoever asks this process for a `fresh` one of that size next gets it, and another is begun for whoever comes after.
    It keeps about 3 MB until then.
    """
    coming: Future[duckdb.DuckDBPyConnection] = Future()
    if _ahead.setdefault(size, coming) is not coming:
        return False
    try:
        threading.Thread(target=_open, args=(size, coming), name="instance-ahead", daemon=False).start()
    except Exception as error:  # The system gives no more threads; then it is opened when it is asked for.
        coming.set_exception(error)
    return True


def close_behind(connection: duckdb.DuckDBPyConnection) -> None:
    """Close an instance in a thread, beside whatever comes next: it takes more than a millisecond.

    Only for one that has spilled nothing: its files would be removed while others look at their folder.
    """
    thread = threading.Thread(target=connection.close, name="instance-closing", daemon=False)
    try:
        thread.start()
    except Exception:  # The system gives no more threads.
        connection.close()
    else:
        _closing.append(thread)


def _open(size: Size, coming: Future[duckdb.DuckDBPyConnection]) -> None:
    try:
        coming.set_result(_connected(size))
    except BaseException as error:  # Whoever waits for it hears of everything, and opens one itself.
        coming.set_exception(error)


def _connected(size: Size) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        # Without it a table name that is missing is looked up among the variables of the calling Python function.
        "python_enable_replacements": False,
        "temp_directory": "",
        # Threads give back what they have freed more often than DuckDB would have them: that is 30 MB less at the peak
        # of a read of 5 million lines of CSV, in the same time.
        "allocator_flush_threshold": "1MB",
    }
    if size.memory is not None:
        settings["memory_limit"] = f"{size.memory}B"
        settings["max_temp_directory_size"] = f"{size.memory * _SPILL_FACTOR}B"
    if size.threads is not None:
        settings["threads"] = size.threads
    if size.unsigned:
        settings["allow_unsigned_extensions"] = True
    connection = duckdb.connect(":memory:", config=settings)
    # How far a query is has to be known, but is never drawn into a log.
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    return connection
