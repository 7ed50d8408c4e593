"""A project as large as the console has to stay quick for: its rows are made by PostgreSQL itself."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection, models
from django.db.models.fields import NOT_PROVIDED

from apps.accounts.models import Project
from apps.pipelines.models import Pipeline, PipelineVersion, Run, StepRun
from apps.snapshots.models import Dataset, Snapshot
from apps.sources.models import Source

STEPS = ["plan", "orders", "customers", "items", "prices", "sound", "named", "daily", "kept", "summary"]
KINDS = ["plan", "extract", "extract", "extract", "extract", "check", "sql", "sql", "load", "load"]
UPSTREAM: list[list[str]] = [
    [],
    *[["plan"]] * 4,
    ["orders", "customers"],
    ["sound", "items", "prices"],
    ["named"],
    ["named"],
    ["daily"],
]
DOCUMENT = {
    "manifold": 1,
    "pipeline": "scale",
    "steps": {"orders": {"extract": {"source": "source-1", "stream": "orders", "mode": "full_refresh"}}},
}


def furnish_scale(project: Project, *, pipelines: int = 100, runs: int = 10_000) -> None:
    """Pipelines with a published version, `runs` runs among them, ten steps each; sources and datasets beside them.

    Every tenth pipeline is running, every seventh failed last time, and one run in nine came with warnings.
    """
    values: dict[str, Any] = {
        "project": project.pk,
        "pipelines": pipelines,
        "runs": runs,
        "document": json.dumps(DOCUMENT),
    }
    values |= {"keys": STEPS, "kinds": KINDS, "upstream": json.dumps(UPSTREAM)}
    with connection.cursor() as cursor:
        for statement in (_pipelines(), _versions(), _publish(), _runs(), _steps(), _sources(), _datasets(), _heads()):
            cursor.execute(statement, values)
        cursor.execute("ANALYZE")


def _id(kind: int, number: str, at: str = "now()") -> str:
    """A UUIDv7 whose order is that of `at`; unique in its kind by its number."""
    moment = f"lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0')"
    return f"({moment} || '7{kind:03}8' || left(md5(%(project)s::text), 3) || lpad(to_hex({number}), 12, '0'))::uuid"


def _insert(model: type[models.Model], rows: str, /, **expressions: str) -> str:
    """INSERT … SELECT for all columns of a model; what has no expression gets the default of its field."""
    columns: list[str] = []
    selected: list[str] = []
    for each in model._meta.concrete_fields:
        columns.append(f'"{each.column}"')
        selected.append(expressions.get(each.column or "") or _default(each))
    return f'INSERT INTO "{model._meta.db_table}" ({", ".join(columns)}) SELECT {", ".join(selected)} FROM {rows}'


def _default(column: Any) -> str:
    if column.null:
        return "NULL"
    if getattr(column, "auto_now_add", False) or getattr(column, "auto_now", False):
        return "now()"
    value = column.get_default() if column.default is not NOT_PROVIDED else ""
    if isinstance(column, models.JSONField):
        return f"'{json.dumps(value)}'::jsonb"
    return str(value) if isinstance(value, (bool, int)) else f"'{value}'"


def _pipelines() -> str:
    return _insert(
        Pipeline,
        "generate_series(1, %(pipelines)s) n",
        id=_id(1, "n", "now() - interval '90 days'"),
        project_id="%(project)s",
        slug="'pipeline-' || lpad(n::text, 3, '0')",
        title="'Orders of shop ' || n",
    )


def _versions() -> str:
    return _insert(
        PipelineVersion,
        "pipelines_pipeline p WHERE p.project_id = %(project)s",
        id=_id(2, "right(p.slug, 3)::int", "now() - interval '90 days'"),
        pipeline_id="p.id",
        number="1",
        text="'manifold: 1'",
        document="jsonb_set(%(document)s::jsonb, '{pipeline}', to_jsonb(p.slug))",
        published_by="'ada'",
    )


def _publish() -> str:
    return """UPDATE pipelines_pipeline p SET published_id = v.id
              FROM pipelines_pipelineversion v WHERE v.pipeline_id = p.id AND p.project_id = %(project)s"""


def _runs() -> str:
    newest = "n > %(runs)s - %(pipelines)s"
    pipeline = "(((n - 1) %% %(pipelines)s) + 1)"
    began = "now() - (%(runs)s - n) * interval '9 minutes'"
    state = f"""CASE WHEN {newest} AND {pipeline} %% 10 = 0 THEN 'running'
                     WHEN {newest} AND {pipeline} %% 7 = 0 OR n %% 53 = 0 THEN 'failed'
                     WHEN n %% 31 = 0 THEN 'skipped' ELSE 'succeeded' END"""
    error = """'{"class": "transient", "code": "timeout", "message": "The database did not answer within 30 s.",
                 "retryable": true, "suggestions": []}'::jsonb"""
    rows = f"""(SELECT n, {began} AS began, {state} AS state, {pipeline} AS which
                FROM generate_series(1, %(runs)s) n) r
               JOIN pipelines_pipeline p ON p.project_id = %(project)s AND right(p.slug, 3)::int = r.which"""
    return _insert(
        Run,
        rows,
        id=_id(3, "r.n", "r.began"),
        project_id="%(project)s",
        pipeline_id="p.id",
        version_id="p.published_id",
        state="r.state",
        outcome="CASE WHEN r.state = 'succeeded' AND r.n %% 9 = 0 THEN 'warned' ELSE 'clean' END",
        mode="'incremental'",
        trigger="'schedule'",
        actor_kind="'system'",
        actor_name="'schedule'",
        created_at="r.began",
        started_at="r.began",
        finished_at="CASE WHEN r.state = 'running' THEN NULL ELSE r.began + (5 + r.n %% 90) * interval '1 second' END",
        error=f"CASE WHEN r.state = 'failed' THEN {error} END",
        root=_id(3, "r.n", "r.began"),
    )


def _steps() -> str:
    span = "coalesce(r.finished_at, now()) - r.started_at"
    began = f"r.started_at + ({span}) * ((s.n - 1) / 10.0)"
    open_ = "r.state = 'running' AND s.n > 6"
    idle = "(r.state = 'running' AND s.n > 7 OR r.state = 'failed' AND s.n > 9)"
    worked = f"CASE WHEN {idle} THEN 0 ELSE"
    return _insert(
        StepRun,
        "pipelines_run r CROSS JOIN generate_series(1, 10) s(n) WHERE r.project_id = %(project)s",
        id=_id(4, "('x' || right(r.id::text, 8))::bit(32)::bigint * 10 + s.n", "r.started_at"),
        run_id="r.id",
        key="(%(keys)s::text[])[s.n]",
        kind="(%(kinds)s::text[])[s.n]",
        upstream="(%(upstream)s::jsonb) -> (s.n - 1)",
        position="s.n",
        state=f"""CASE WHEN {open_} THEN CASE s.n WHEN 7 THEN 'running' ELSE 'pending' END
                       WHEN r.state = 'failed' AND s.n > 8 THEN CASE s.n WHEN 9 THEN 'failed' ELSE 'skipped' END
                       ELSE 'succeeded' END""",
        attempt="1",
        fence="1",
        queued_at=f"CASE WHEN {idle} THEN NULL ELSE {began} END",
        started_at=f"CASE WHEN {idle} THEN NULL ELSE {began} + ({span}) * 0.02 END",
        finished_at=f"CASE WHEN {open_} OR {idle} THEN NULL ELSE {began} + ({span}) * 0.1 END",
        rows_out=f"{worked} 1000 * s.n + ('x' || right(r.id::text, 3))::bit(12)::int END",
        rows_in=f"{worked} 1000 * s.n END",
        bytes_out=f"{worked} 20000 * s.n END",
        peak_memory=f"{worked} 150000000 + 1000000 * s.n END",
        error="CASE WHEN r.state = 'failed' AND s.n = 9 THEN r.error END",
    )


def _sources() -> str:
    return _insert(
        Source,
        "generate_series(1, 30) n",
        id=_id(5, "n", "now() - interval '90 days'"),
        project_id="%(project)s",
        slug="'source-' || n",
        title="'Database of shop ' || n",
        connector="'postgresql'",
        health="CASE n %% 15 WHEN 0 THEN 'error' ELSE 'healthy' END",
        health_at="now() - n * interval '1 minute'",
    )


def _datasets() -> str:
    return _insert(
        Dataset,
        "pipelines_pipeline p WHERE p.project_id = %(project)s",
        id=_id(6, "right(p.slug, 3)::int", "now() - interval '90 days'"),
        project_id="%(project)s",
        slug="'orders-' || right(p.slug, 3)",
        owner_pipeline="p.id",
        owner_step="'kept'",
        head="20",
    )


def _heads() -> str:
    rows = """snapshots_dataset d CROSS JOIN generate_series(1, 20) n
              JOIN LATERAL (SELECT id FROM pipelines_run r
                            WHERE r.pipeline_id = d.owner_pipeline AND r.state = 'succeeded'
                            ORDER BY id DESC OFFSET 20 - n LIMIT 1) last ON true WHERE d.project_id = %(project)s"""
    return _insert(
        Snapshot,
        rows,
        id=_id(7, "right(d.slug, 3)::int * 100 + n", "now() - (21 - n) * interval '1 hour'"),
        dataset_id="d.id",
        number="n",
        parent="n - 1",
        mode="'append'",
        rows="n * 12345",
        bytes="n * 654321",
        files="n",
        schema='\'[{"name": "id", "type": "BIGINT", "nullable": false}]\'::jsonb',
        pipeline="d.owner_pipeline",
        step_key="'kept'",
        load_key="'load-' || d.slug || n",
        run="last.id",
        created_at="now() - (21 - n) * interval '1 hour'",
    )
