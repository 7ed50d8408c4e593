"""Ids are UUIDv7: they sort by time, and no row gives away how many there are."""

from __future__ import annotations

import uuid

import uuid_utils.compat


def new_id() -> uuid.UUID:
    return uuid_utils.compat.uuid7()
