"""The frame of steps that run what an operator wrote: a locked instance, a ceiling for memory, progress, interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from dataplane.address_space import address_space
from dataplane.engine import operator_instance
from dataplane.failures import duckdb_errors
from dataplane.steps.base import StepContext
from dataplane.steps.watching import Share, watched

# DuckDB's threads, buffers and the files it maps take address space beside the memory that it counts.
_BESIDE = 1 << 30


@contextmanager
def operating(context: StepContext) -> Iterator[tuple[duckdb.DuckDBPyConnection, Share]]:
    """An operator instance that reads the step's inputs and writes its output. What DuckDB raises within is ours."""
    storage = context.storage
    files = {storage.absolute(file.path) for each in context.inputs.values() for file in each.files}
    with (
        duckdb_errors(),
        address_space(2 * context.memory + _BESIDE),
        operator_instance(
            sorted(files),
            storage.absolute(context.output),
            spill=context.spill,
            memory=context.memory,
            threads=context.threads,
        ) as connection,
        watched(context, connection) as share,
    ):
        yield connection, share
