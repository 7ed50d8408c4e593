"""Transitions of states, refused by the database itself where the state table does not have them."""

from __future__ import annotations

import pgtrigger


def legal(table: dict[str, frozenset[str]]) -> pgtrigger.Trigger:
    """The database itself refuses a transition that does not stand in the state table."""
    pairs = [(old, new) for old, onward in table.items() for new in sorted(onward)]
    return pgtrigger.FSM(name="legal_transitions", field="state", transitions=pairs)
