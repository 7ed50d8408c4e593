"""The ledger of loads stays small: rows of loads that are known to be over elsewhere go, the newest ones stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dataplane.connectors.destination import Load

KEPT = 200
"""So many rows stay for each step and table, whatever is known of them."""
AT_ONCE = 100
"""It is asked for what may go with every so many rows: most loads ask nobody, whatever nobody knows of."""
_LOOKED_AT = 1000

Ask = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]


def prune(ask: Ask, ledger: str, target: str, load: Load, mark: str = "%s") -> None:
    """Remove older rows of this step and table that `load.settled` names, in the transaction of the load.

    ask: runs a statement with its values. ledger: its table as SQL. mark: stands for a value.
    """
    mine = [str(load.pipeline), load.step, target]
    same = f"{ledger} WHERE pipeline = {mark} AND step = {mark} AND target = {mark}"
    rows = ask(f"SELECT count(*) FROM {same}", mine)[0][0]
    if rows <= KEPT or rows % AT_ONCE:
        return
    older = ask(f"SELECT load_key FROM {same} ORDER BY run DESC LIMIT {_LOOKED_AT} OFFSET {KEPT}", mine)
    gone = sorted(load.settled([row[0] for row in older]))
    if gone:
        ask(f"DELETE FROM {same} AND load_key IN ({', '.join([mark] * len(gone))})", [*mine, *gone])
