"""Reads of the audit log that more than one door needs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Literal

from django.db import connection

Column = Literal["verb", "object_type"]

# A walk from each value to the next one through an index that begins with project and column, so that it costs what
# there are values, however long the log is.
_USED = """
    WITH RECURSIVE found(project, value) AS (
        SELECT p.id, (SELECT min({column}) FROM audit_event WHERE project = p.id) FROM unnest(%s::uuid[]) p(id)
        UNION ALL
        SELECT f.project, (SELECT min({column}) FROM audit_event WHERE project = f.project AND {column} > f.value)
        FROM found f WHERE f.value IS NOT NULL
    ), above(value) AS (
        SELECT (SELECT min({column}) FROM audit_event WHERE project IS NULL) WHERE %s
        UNION ALL
        SELECT (SELECT min({column}) FROM audit_event WHERE project IS NULL AND {column} > a.value)
        FROM above a WHERE a.value IS NOT NULL
    )
    SELECT value FROM (SELECT value FROM found UNION SELECT value FROM above) v WHERE value IS NOT NULL ORDER BY value
"""


def used(column: Column, projects: Iterable[uuid.UUID], *, platform: bool = False) -> list[str]:
    """The values that events of these projects have in a column, sorted; with `platform` also those above them."""
    with connection.cursor() as cursor:
        cursor.execute(_USED.format(column=column), [list(projects), platform])
        return [value for (value,) in cursor.fetchall()]
