"""Rows that a rule refuses leave the table: the good ones are written again, the bad ones kept with where and why."""

from __future__ import annotations

from collections.abc import Sequence

from dataplane.checks.outcome import Outcome
from dataplane.checks.running import Check
from dataplane.engine import write_parquet
from dataplane.steps.base import Table
from dataplane.storage import Storage


def set_aside(check: Check, outcomes: Sequence[Outcome], storage: Storage, folder: str) -> Table:
    """The table without the rows that these failed rules refuse; they are its `rejected` rows.

    A row that several rules refuse is kept once, with all reasons. Of rows that share a key, `unique` lets the first
    stay. What goes on still knows its places in the source, for the checks behind this one.
    """
    check.tell_apart(outcomes)
    check.know_places()
    good = write_parquet(check.connection, check.good(), storage=storage, folder=folder, name="good")
    bad = write_parquet(check.connection, check.bad(), storage=storage, folder=folder, name="rejected")
    origins = check.kept_origins(good[0].path) if good else ()
    return Table(check.table.columns, good, bad, origins)
