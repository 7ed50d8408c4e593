"""The hash chain over the audit log: a tick seals what is old enough, `verify` names whatever was edited since.

A seal covers the events of a half-open range of transaction ids of one cluster. Ranges begin where the last one ended
and end below the oldest transaction that is still open, so no event can appear in a sealed range any more. A restored
log goes on in a cluster that counts transactions anew; what the former left unsealed is sealed first, as a whole.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from apps.audit.models import Seal

GENESIS = "0" * 64
# A seal reads and hashes at most about so many events, so that memory and a transaction's length stay bounded.
EVENTS_PER_SEAL = 5_000
_LEAF = struct.Struct(">q16s")
_LOCK = 0x617564697420736C
# Beyond every xid8: the range of a cluster that will write no more.
_NO_MORE = 2**64

# Rendered by the database, where numbers keep their digits; times in UTC whatever the session says.
_CANONICAL = """jsonb_build_array(id, cluster, xid,
    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(transaction_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
    project, actor_kind, actor_id, actor_name, request_id, verb, object_type, object_id, object_name,
    before, after, data)::text"""


@dataclass
class Verification:
    """What `verify` found. `problems` are sentences, each naming the rows or the seal at fault."""

    events: int = 0
    seals: int = 0
    unsealed: int = 0
    head: str = GENESIS
    problems: list[str] = field(default_factory=list)
    # How far it is: the last seal that was looked at, and where the ranges of each cluster end.
    last: int = 0
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


def seal(*, at_once: int = EVENTS_PER_SEAL) -> int:
    """Seal every event older than the oldest open transaction; returns how many seals were added.

    Any number of ticks may run: all but one leave at once.
    """
    added = 0
    while True:
        with transaction.atomic():
            if not _only_sealer() or not _seal_next(at_once):
                return added
        added += 1


def verify() -> Verification:
    """Compare every sealed event with its seal, and every seal with the one before it.

    What is sealed never changes, so writers and the sealing tick may go on meanwhile.
    """
    found = Verification()
    while not verify_more(found):
        pass
    return found


def verify_more(found: Verification, *, seals: int = 50) -> bool:
    """Go on with a verification by so many seals; True when it is done. What it has found so far stays in `found`."""
    batch = list(Seal.objects.filter(pk__gt=found.last).order_by("id")[:seals])
    for each in batch:
        _check_link(each, found)
        _check_rows(each, found)
        found.seals += 1
        found.events += each.events
        found.head, found.last = each.digest, each.pk
    if len(batch) == seals:
        return False
    found.unsealed = sum(_count_from(cluster, found.ends.get(cluster, 0)) for cluster in _clusters())
    return True


def _seal_next(at_once: int) -> bool:
    """One more seal, if there is anything to seal."""
    last = Seal.objects.order_by("-id").values_list("digest", flat=True).first() or GENESIS
    here, horizon = _here()
    for cluster in sorted(_clusters(), key=lambda each: each == here):
        start = _sealed_until(cluster)
        end = horizon if cluster == here else _NO_MORE
        until = _enough(cluster, start, end, at_once)
        leaves = b"".join(_LEAF.pack(*leaf) for leaf in _leaves(cluster, start, until))
        if leaves:
            Seal.objects.create(
                cluster=cluster,
                xid_from=start,
                xid_until=until,
                events=len(leaves) // _LEAF.size,
                leaves=leaves,
                previous=last,
                digest=_digest(last, cluster, start, until, leaves),
            )
            return True
    return False


def _check_link(seal_: Seal, found: Verification) -> None:
    start, until = int(seal_.xid_from), int(seal_.xid_until)
    if seal_.previous != found.head:
        found.problems.append(f"Seal {seal_.pk}: it does not follow the seal before it, so one was altered or removed.")
    if start != found.ends.get(seal_.cluster, 0):
        found.problems.append(f"Seal {seal_.pk}: its range does not begin where the one before it ended.")
    if seal_.digest != _digest(seal_.previous, seal_.cluster, start, until, bytes(seal_.leaves)):
        found.problems.append(f"Seal {seal_.pk}: the seal itself was altered.")
    found.ends[seal_.cluster] = until


def _check_rows(seal_: Seal, found: Verification) -> None:
    sealed = dict(_LEAF.iter_unpack(bytes(seal_.leaves)))
    for event_id, digest in _leaves(seal_.cluster, int(seal_.xid_from), int(seal_.xid_until)):
        expected = sealed.pop(event_id, None)
        if expected is None:
            found.problems.append(
                f"Event {event_id}: it was added to the range of seal {seal_.pk} after it was sealed."
            )
        elif expected != digest:
            found.problems.append(f"Event {event_id}: it was altered after seal {seal_.pk}.")
    found.problems += [f"Event {each}: it was removed after seal {seal_.pk}." for each in sorted(sealed)]


def _leaves(cluster: str, start: int, until: int) -> Iterator[tuple[int, bytes]]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, {_CANONICAL} FROM audit_event WHERE cluster = %s AND xid >= %s AND xid < %s ORDER BY id",
            [cluster, start, until],
        )
        while rows := cursor.fetchmany(1_000):
            for event_id, text in rows:
                yield event_id, hashlib.sha256(text.encode()).digest()[:16]


def _digest(previous: str, cluster: str, start: int, until: int, leaves: bytes) -> str:
    head = f"manifold seal 1\n{previous}\n{cluster}\n{start}\n{until}\n{len(leaves) // _LEAF.size}\n"
    return hashlib.sha256(head.encode() + leaves).hexdigest()


def _here() -> tuple[str, int]:
    """This cluster's id, and the first transaction id that is not certainly over."""
    cluster, horizon = _one(
        "SELECT system_identifier::text, pg_snapshot_xmin(pg_current_snapshot())::text FROM pg_control_system()"
    )
    return cluster, int(horizon)


def _only_sealer() -> bool:
    return bool(_one("SELECT pg_try_advisory_xact_lock(%s)", _LOCK)[0])


def _sealed_until(cluster: str) -> int:
    return int(Seal.objects.filter(cluster=cluster).order_by("-id").values_list("xid_until", flat=True).first() or 0)


def _enough(cluster: str, start: int, end: int, at_once: int) -> int:
    """Where a range from `start` ends when it should hold about `at_once` events; a transaction is never divided."""
    xid, count = _one(
        "SELECT max(xid), count(*) FROM (SELECT xid FROM audit_event WHERE cluster = %s AND xid >= %s AND xid < %s"
        " ORDER BY xid LIMIT %s) oldest",
        cluster,
        start,
        end,
        at_once + 1,
    )
    return end if count <= at_once else min(end, int(xid) + 1)


def _clusters() -> list[str]:
    """The clusters that have written events; found by hops through the index, whatever the length of the log."""
    found: list[str] = []
    newest: str | None = ""
    while newest is not None:
        (newest,) = _one("SELECT min(cluster) FROM audit_event WHERE cluster > %s", newest)
        found += [newest] if newest is not None else []
    return found


def _count_from(cluster: str, start: int) -> int:
    return int(_one("SELECT count(*) FROM audit_event WHERE cluster = %s AND xid >= %s", cluster, start)[0])


def _one(query: str, *values: Any) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
