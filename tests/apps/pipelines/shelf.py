"""Rows that a document needs to be valid, without a server behind them, and a document that names them."""

from __future__ import annotations

from apps.accounts.models import Project
from apps.sources.models import Source, Stream

TEXT = """manifold: 1
pipeline: orders
title: Orders
steps:
  orders: {extract: {source: db, stream: public.orders, mode: incremental}}
  kept: {load: {input: orders, dataset: orders}}
"""


def stock(project: Project) -> Source:
    """A source `db` with a stream `public.orders` that has a cursor."""
    source = Source.objects.create(project=project, slug="db", title="Database", connector="postgresql")
    Stream.objects.create(source=source, name="public.orders", config={"cursor": "at"})
    return source
