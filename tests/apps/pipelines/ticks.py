"""A table of ticks, the pipelines that read it, and how rows come into it (fixtures `source` and `add`)."""

from __future__ import annotations

from collections.abc import Callable

from apps.accounts.models import Project
from apps.sources.models import Source
from tests.apps.pipelines import workshop as ws

HEAD = """
manifold: 1
pipeline: ticks
steps:
  ticks: {extract: {source: db, stream: public.ticks, mode: incremental}}
"""
KEPT = "  kept: {load: {input: ticks, dataset: kept}}\n"
BRANCH = """
  sound: {check: {input: ticks, rules: [{range: {column: value, min: 0}, action: stop}]}, if_failed: continue}
  good: {load: {input: sound, dataset: good}}
"""

Add = Callable[..., None]


def tables(project: Project, url: str) -> Source:
    """The tables `ticks` and `marks`, each a stream that is read by its column `tick`."""
    ws.execute(url, "CREATE TABLE ticks (tick int, value int)")
    ws.execute(url, "CREATE TABLE marks (tick int, value int)")
    source = ws.postgres_source(project, url)
    ws.cursor(source, "public.ticks", "tick")
    ws.cursor(source, "public.marks", "tick")
    return source


def adding(url: str) -> Add:
    """What puts rows into one of the tables."""

    def rows(*given: tuple[int, int], to: str = "ticks") -> None:
        ws.insert(url, to, given)

    return rows
