"""Rows that a document needs to be valid, without a server behind them, and a document that names them."""

from __future__ import annotations

import pytest

from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.pipelines import services
from apps.pipelines.models import Pipeline
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


@pytest.fixture
def pipeline(project: Project) -> Pipeline:
    """The document above, published with a comment of somebody's."""
    stock(project)
    return services.apply_document(project, f"# mine\n{TEXT}", actor=SYSTEM, publish=True)
