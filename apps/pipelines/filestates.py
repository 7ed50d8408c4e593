"""What has become of each file, for each step of a pipeline that reads only what is new; told by its windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection

from apps.pipelines.models import Pipeline
from apps.sources.models import Source, Stream
from dataplane.connectors import registry

STATES = {
    "pending": "waits to be read, or is being read",
    "processed": "its rows have arrived",
    "failed": "a run could not read it, or a branch that may fail has not loaded it",
    "ignored": "somebody has set it aside",
    "changed": "has changed since it was read",
    "gone": "went away before it was read",
}

# The newest window of a step that names a file says how it went. What a plan has found changed has no digest until some
# pipeline reads it again, and then another one than it had here. A run that fails leaves its windows open;
# its error names the files that it could not read; that of a plan, for which of its steps, too. No more than the runs
# from the last one on that read whatever waited are asked for that.
_STATED = """
    WITH steps AS (
        SELECT * FROM unnest(%(steps)s::text[], %(slugs)s::text[], %(sources)s::uuid[], %(streams)s::uuid[])
        WITH ORDINALITY AS s(step, slug, source, stream, place)
    ), taken AS (
        SELECT DISTINCT ON (w.step_key, f ->> 'path') w.step_key, f ->> 'path' AS path, w.state,
               (f ->> 'size')::bigint AS size, (f ->> 'modified')::timestamptz AS modified, f ->> 'digest' AS digest,
               max(w.closed_at) FILTER (WHERE w.state = 'done') OVER (PARTITION BY w.step_key, f ->> 'path') AS loaded
        FROM pipelines_window w JOIN steps ON steps.step = w.step_key AND steps.source = w.source,
             jsonb_array_elements(w.bounds -> 'files') f
        WHERE w.pipeline_id = %(pipeline)s AND w.state <> 'forgotten' AND w.bounds -> 'kind' = '"files"'
        ORDER BY 1, 2, w.id DESC
    ), ended AS (
        SELECT id FROM pipelines_run WHERE pipeline_id = %(pipeline)s AND state IN ('succeeded', 'failed', 'timed_out')
            AND id >= coalesce((
                SELECT id FROM pipelines_run WHERE pipeline_id = %(pipeline)s AND state = 'succeeded'
                    AND files = '[]' AND "only" = '[]' AND backfill_id IS NULL ORDER BY id DESC LIMIT 1
            ), '00000000-0000-0000-0000-000000000000')
        ORDER BY id DESC LIMIT 1000
    ), refused AS (
        SELECT DISTINCT ON (1, 2) CASE r.kind WHEN 'plan' THEN r.error #>> '{evidence,step}' ELSE r.key END AS key,
               f.path, r.error ->> 'message' AS reason, r.finished_at
        FROM pipelines_steprun r JOIN ended ON ended.id = r.run_id, LATERAL (
            SELECT r.error #>> '{evidence,file}' AS path UNION SELECT jsonb_array_elements_text(
                CASE jsonb_typeof(r.error #> '{evidence,files}') WHEN 'array' THEN r.error #> '{evidence,files}'
                ELSE '[]' END)
        ) f
        WHERE r.state = 'failed' AND f.path IS NOT NULL ORDER BY 1, 2, r.run_id DESC
    ), stated AS (
        SELECT steps.place, steps.step, steps.slug, x.stream_id, x.path, x.size, x.modified, x.file_date, n.reason,
            CASE WHEN x.ignored THEN 'ignored'
                 WHEN t.path IS NULL AND x.gone_at IS NOT NULL THEN 'gone'
                 WHEN t.state = 'failed' OR (t.state IS DISTINCT FROM 'done' AND n.reason IS NOT NULL) THEN 'failed'
                 WHEN t.state IS DISTINCT FROM 'done' THEN 'pending'
                 WHEN (x.digest = '' OR x.digest <> t.digest)
                      AND (x.size, x.modified) IS DISTINCT FROM (t.size, t.modified) THEN 'changed'
                 ELSE 'processed' END AS state
        FROM steps JOIN sources_sourcefile x ON x.stream_id = steps.stream
        LEFT JOIN taken t ON t.step_key = steps.step AND t.path = x.path
        LEFT JOIN refused n ON n.key = steps.step AND n.path = x.path
            AND (t.loaded IS NULL OR n.finished_at > t.loaded)
    )
"""
_COUNTS = f"{_STATED} SELECT state, count(*) FROM stated GROUP BY state"
_FILES = f"""
    {_STATED} SELECT step, slug, s.name, path, state, size, modified, file_date,
           CASE state WHEN 'failed' THEN coalesce(reason, '') ELSE '' END
    FROM stated JOIN sources_stream s ON s.id = stream_id
    WHERE state = %(state)s OR %(state)s = '' ORDER BY place, file_date, path LIMIT %(limit)s
"""


@dataclass(frozen=True)
class FileState:
    """A file of one step, the source and stream that it belongs to, and what has become of it.

    reason: of one that failed what its run has said; empty where that is not known.
    """

    step: str
    source: str
    stream: str
    path: str
    state: str
    size: int
    modified: datetime
    file_date: date | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {
            **vars(self),
            "modified": self.modified.isoformat().replace("+00:00", "Z"),
            "file_date": self.file_date.isoformat() if self.file_date else None,
        }


def of_pipeline(pipeline: Pipeline, step: str = "", state: str = "", *, limit: int) -> list[FileState]:
    """The first files that were seen, by step, date and path; of one step or in one state, where it is named."""
    return [FileState(*row) for row in _asked(_FILES, pipeline, step, state=state, limit=limit)]


def counted(pipeline: Pipeline) -> dict[str, int]:
    """How many files are in each state, in the order of the states; those that have none are left out."""
    counts = dict(_asked(_COUNTS, pipeline, ""))
    return {each: counts[each] for each in STATES if each in counts}


def reads_files(pipeline: Pipeline) -> bool:
    """Whether a step of the published version takes new files."""
    extracts = _extracts(pipeline).values()
    kinds = Source.objects.filter(project=pipeline.project_id, slug__in={each["source"] for each in extracts})
    return any(registry.get(each).family == "file" for each in kinds.values_list("connector", flat=True))


def _extracts(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """The extracts of the published version that read only what is new, by step."""
    steps = pipeline.published.document["steps"] if pipeline.published else {}
    extracts = {key: written["extract"] for key, written in steps.items() if "extract" in written}
    return {key: each for key, each in extracts.items() if each.get("mode") == "incremental"}


def _asked(statement: str, pipeline: Pipeline, step: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query over the files of each step. Two queries in all."""
    extracts = {key: each for key, each in _extracts(pipeline).items() if step in ("", key)}
    known = Stream.objects.filter(
        source__project_id=pipeline.project_id, source__slug__in={each["source"] for each in extracts.values()}
    ).values_list("source__slug", "name", "source__connector", "source_id", "pk")
    streams = {(slug, name): (source, pk) for slug, name, kind, source, pk in known if _of_files(kind)}
    found = [
        (key, each["source"], *streams[each["source"], each["stream"]])
        for key, each in extracts.items()
        if (each["source"], each["stream"]) in streams
    ]
    if not found:
        return []
    names = ("steps", "slugs", "sources", "streams")
    given = dict(zip(names, map(list, zip(*found, strict=True)), strict=True))
    with connection.cursor() as cursor:
        cursor.execute(statement, {**given, "pipeline": pipeline.pk, **values})
        return list(cursor.fetchall())


def _of_files(connector: str) -> bool:
    return registry.get(connector).family == "file"
