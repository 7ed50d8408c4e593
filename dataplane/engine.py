"""The two kinds of DuckDB instance, and how rows become Parquet.

A *connector* instance runs only our own SQL and may load extensions. An *operator* instance runs what an operator
wrote: it never loads an extension, reads only its inputs, writes only below its output, and cannot be reconfigured.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import duckdb

from dataplane import instances
from dataplane.errors import ConfigurationError, InfrastructureError
from dataplane.failures import disk_full, duckdb_errors
from dataplane.following import Following
from dataplane.relations import literal, path_list
from dataplane.steps.base import StagedFile
from dataplane.storage import Storage

# Measured on 5 M rows beside the defaults: no slower to write, read in two thirds of the time, and a quarter smaller to
# flush and to hash. zstd is another sixth smaller, but takes a tenth more of the processor's time to write and to read.
PARQUET = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION lz4_raw, RETURN_STATS true"

# Groups of half as many rows as usual are as quick to read. Measured on 5 M rows: two threads with a file each need
# 50 MB less; into one file, in order, CSV needs 50 MB less, and NDJSON is read a twelfth faster for 30 MB more.
_SMALL_GROUPS = ", ROW_GROUP_SIZE 61440"

# A column goes without a dictionary after half as many values as usual: columns of ids, times and amounts give up that
# much sooner, which is an eighth of the time to write 1.5 M rows and a twentieth of reading them from CSV. The price: a
# column that has between 12,288 and 24,576 values in a group of rows takes up to two thirds more room, and half a MB of
# memory is taken for each column, however few its rows are.
_MANY = f"{_SMALL_GROUPS}, DICTIONARY_SIZE_LIMIT 12288"

_SPLIT = f"{_SMALL_GROUPS}, PER_THREAD_OUTPUT true"


@contextmanager
def connector_instance(
    *,
    extensions: Sequence[str] = (),
    memory: int | None = None,
    threads: int | None = None,
    spill: str | None = None,
    ordered: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An instance for our own SQL against a source, closed at the end.

    extensions: names such as `postgres_scanner`, loaded from the installed wheel by path; nothing is downloaded. DuckDB
    checks the signature of each file once in a process, and again when the file has changed.
    memory in bytes. spill: an absolute folder for temporary files, made here, and removed with what is in it. ordered:
    rows are written in the order in which they are read (file sources: the n-th row of a staged file is the n-th of
    its source).
    """
    files = {_identity(extension_path(name)) for name in extensions}
    unsigned = bool(files) and files <= _checked
    with _opened(memory, threads, spill, ordered=ordered, unsigned=unsigned, behind=ordered) as connection:
        for name in extensions:
            load_extension(connection, name)
        _checked.update(files)
        yield connection


@contextmanager
def operator_instance(
    inputs: Sequence[str],
    output: str | None,
    *,
    spill: str,
    memory: int,
    threads: int,
    ordered: bool = True,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked-down instance for an operator's SQL: reads `inputs`, writes into `output`, reaches nothing else.

    inputs: absolute paths of Parquet files. output: an absolute folder that belongs to this step alone (`write_parquet`
    makes a new subfolder of it: DuckDB 1.5.5 crashes when several files are written that are only allowed as paths).
    """
    with _opened(memory, threads, spill, ordered=ordered, behind=True) as connection:
        allowed = f"SET allowed_paths = {path_list(inputs)}"
        if output is not None:
            allowed += f"; SET allowed_directories = [{literal(output)}]"
        connection.execute(f"{allowed}; SET enable_external_access = false; SET lock_configuration = true")
        yield connection


@contextmanager
def _opened(
    memory: int | None,
    threads: int | None,
    spill: str | None,
    *,
    ordered: bool,
    unsigned: bool = False,
    behind: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """behind: it may be closed beside what comes next, where its work went well and nothing was spilled."""
    if spill:
        os.makedirs(spill, exist_ok=True)
    connection = instances.fresh(instances.Size(memory, threads, unsigned))
    close = connection.close
    try:
        if spill:
            connection.execute(f"SET temp_directory = {literal(spill)}")
        if not ordered:
            connection.execute("SET preserve_insertion_order = false")
        yield connection
        if behind and spill and not os.listdir(spill):
            close = partial(instances.close_behind, connection)
    finally:
        close()
        if spill:
            shutil.rmtree(spill, ignore_errors=True)


# Extensions whose signature was found right in this process, by what would differ if a file were another.
_checked: set[tuple[str, int, int, int]] = set()


def _identity(path: str) -> tuple[str, int, int, int]:
    found = os.stat(path)
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def spill_folder(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The folder that an instance writes temporary files into; None where it has none."""
    row = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    return str(row[0]) if row and row[0] and os.path.isdir(str(row[0])) else None


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension into a connector instance from its wheel; harmless where it is loaded already."""
    connection.execute(f"LOAD {literal(extension_path(name))}")


@cache
def extension_path(name: str) -> str:
    """The path of an extension's file in its wheel. Raises ConfigurationError when the wheel is not installed."""
    package = f"duckdb_extension_{name}"
    found = find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        for path in Path(folder).glob(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"):
            return str(path)
    wheel = f"{package.replace('_', '-')}=={duckdb.__version__}"
    raise ConfigurationError(
        f"DuckDB's extension {name} is not installed. Install the package {wheel} on every worker.",
        code="extension_missing",
        evidence={"package": wheel},
    )


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    *,
    storage: Storage,
    folder: str,
    name: str = "part",
    hashed: bool = False,
    split: bool = False,
    many: bool = False,
    parameters: Sequence[object] | None = None,
) -> tuple[StagedFile, ...]:
    """Write a SELECT's rows as Parquet into `folder` (below the storage root; made when missing) and flush them to
    disk.

    Returns the files with rows and bytes; an empty result leaves no file. One file, `<name>.parquet`, in the order of
    the rows where the instance is `ordered`. split: one file a thread instead, in a new subfolder `<name>`: for reads
    that come in parallel and in no order. many: there will be very many rows of few columns, in one file. hashed: with
    the SHA-256 of each file. Raises ManifoldError or CancelledError.
    """
    target = f"{folder}/{name}" if split else f"{folder}/{name}.parquet"
    absolute = storage.absolute(target)
    if os.path.lexists(absolute):
        raise FileExistsError(errno.EEXIST, "a path is written once", absolute)
    os.makedirs(os.path.dirname(absolute), exist_ok=True)
    options = PARQUET + (_SPLIT if split else _MANY if many else "")
    with duckdb_errors(), Following(absolute) if many and hashed else nullcontext() as following:
        written = connection.execute(
            f"COPY ({query}) TO {literal(absolute)} ({options})", parameters or None
        ).fetchall()
    files = []
    for path, rows, size, *_ in written:
        relative = Path(path).relative_to(storage.root).as_posix()
        if rows:
            files.append(StagedFile(relative, rows, size))
        else:
            storage.remove(relative)
    digest = following.sha256 if following else storage.sha256 if hashed else _unwanted
    digests = _flushed(storage, [each.path for each in files], digest)
    found = (replace(each, sha256=digest) for each, digest in zip(files, digests, strict=True))
    return tuple(sorted(found, key=lambda each: each.path))


def _unwanted(path: str) -> str:
    """The digest that nobody asks for."""
    return ""


def _flushed(storage: Storage, paths: Sequence[str], digest: Callable[[str], str]) -> list[str]:
    """Force files to disk; their digests, made while the disk is at work."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        digests = pool.map(digest, paths)
        for each in paths:
            flush(storage, each)
        try:
            return list(digests)
        except OSError as error:
            raise disk_error(error) from error


def flush(storage: Storage, path: str) -> None:
    """Force a written file to disk. Raises InfrastructureError when the disk is full or fails."""
    try:
        storage.flush(path)
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> InfrastructureError:
    """An operating system's refusal to write, in our words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full()
    return InfrastructureError(
        f"The storage could not be written: {os.strerror(error.errno or errno.EIO)}.",
        code="storage_write",
        evidence={"path": str(error.filename or "")},
    )
