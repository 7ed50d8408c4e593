"""The ledger of loads stays small: rows of loads that are known to be over elsewhere go, the newest ones stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dataplane.connectors.destination import Load

KEPT = 200
"""So many rows stay for each step and table, whatever is known of them."""
AT_ONCE = 100
_LOOKED_AT = 1000

Ask = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]


def prune(ask: Ask, ledger: str, target: str, load: Load, mark: str = "%s") -> None:
    """Remove older rows of this step and table that `load.settled` names, in the transaction of the load.

    ask: runs a statement with its values. ledger: its table as SQL. mark: stands for a value.
    """
    mine = [str(load.pipeline), load.step, target]
    same = f"{ledger} WHERE pipeline = {mark} AND step = {mark} AND target = {mark}"
    older = ask(f"SELECT load_key FROM {same} ORDER BY run DESC LIMIT {_LOOKED_AT} OFFSET {KEPT}", mine)
    # Some at a time, so that most loads ask nobody else.
    gone = sorted(load.settled([row[0] for row in older])) if len(older) >= AT_ONCE else []
    if gone:
        ask(f"DELETE FROM {same} AND load_key IN ({', '.join([mark] * len(gone))})", [*mine, *gone])
