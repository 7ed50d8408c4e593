"""Empty tables after a test with real transactions, and quickly: there are hundreds of such tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import TransactionTestCase

# Made by migrations and never changed, so that nobody has to make them again.
_KEPT = {"django_migrations", "django_content_type", "auth_permission"}


def empty() -> None:
    """Delete the rows of every table that has any.

    Truncating all of them takes ten times as long, and brings back what migrations make. Foreign keys are looked at
    when the transaction ends, so the order does not matter; triggers of ours (the audit log is append-only) are off
    meanwhile.
    """
    tables = sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - _KEPT)
    names = [connection.ops.quote_name(each) for each in tables]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{each}' WHERE EXISTS (SELECT FROM {each})" for each in names))
        full = [each for (each,) in cursor.fetchall()]
        for step in ("ALTER TABLE {} DISABLE TRIGGER USER", "DELETE FROM {}"):
            for each in full:
                cursor.execute(step.format(each))
        # What the keys still have to look at hinders the triggers from being put back.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for each in full:
            cursor.execute(f"ALTER TABLE {each} ENABLE TRIGGER USER")


@pytest.fixture(autouse=True, scope="session")
def emptied() -> Iterator[None]:
    """Tests with real transactions leave the tables empty."""

    def teardown(self: Any) -> None:
        empty()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield
