"""Prometheus metrics. What is counted comes from the database and the queues at the time of the scrape, so every web
process answers the same and a restart loses nothing. No metric names a project, a pipeline or a person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import redis
import uuid_utils
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from apps.pipelines import states
from apps.pipelines.models import Run, StepRun
from manifold import health
from manifold.probes import broker_client

WINDOW_SECONDS = 3600
QUANTILES = (0.5, 0.9, 0.99)

# Ids sort by time, so the primary key finds the steps of the last hour whatever the table's size.
_DURATIONS = """
    SELECT kind, count(*), sum(seconds), percentile_cont(%s::float8[]) WITHIN GROUP (ORDER BY seconds)
    FROM (
        SELECT kind, extract(epoch FROM finished_at - started_at)::float8 AS seconds
        FROM pipelines_steprun
        WHERE id >= %s AND started_at IS NOT NULL AND finished_at IS NOT NULL
    ) AS finished
    GROUP BY kind
"""


class Platform(Collector):
    """Collects at scrape time. A component that is down is a metric of its own, not an error."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily(
            "manifold_component_up", "Whether a component is well (1) or not (0).", labels=["component"]
        )
        findings = health.components()
        for each in findings:
            up.add_metric([each.name], float(each.up))
        yield up
        silent = {each.name for each in findings if health.in_vain(each)}
        if "database" not in silent:
            yield from _all_or_nothing(self._from_database, DatabaseError)
        if "broker" not in silent:
            yield from _all_or_nothing(self._from_broker, redis.RedisError)

    def _from_database(self) -> list[GaugeMetricFamily]:
        runs = GaugeMetricFamily("manifold_runs", "Runs by state.", labels=["state"])
        counted = dict(Run.objects.order_by().values_list("state").annotate(Count("id")))
        for state in states.RUN:
            runs.add_metric([state], counted.get(state, 0))
        steps = GaugeMetricFamily("manifold_steps_open", "Steps that have not ended, by state.", labels=["state"])
        waiting = StepRun.objects.filter(state__in=states.STEP_OPEN - {"pending"})
        counted = dict(waiting.order_by().values_list("state").annotate(Count("id")))
        for state in sorted(states.STEP_OPEN - {"pending"}):
            steps.add_metric([state], counted.get(state, 0))
        return [runs, steps, *self._durations()]

    def _durations(self) -> list[GaugeMetricFamily]:
        text = "Seconds that steps of the last hour took, by kind"
        quantiles = GaugeMetricFamily("manifold_step_seconds", f"{text}.", labels=["kind", "quantile"])
        total = GaugeMetricFamily("manifold_step_seconds_sum", f"{text}, added up.", labels=["kind"])
        number = GaugeMetricFamily("manifold_step_seconds_count", f"{text}: how many.", labels=["kind"])
        since = uuid_utils.uuid7(nanoseconds=time.time_ns() - WINDOW_SECONDS * 10**9)
        with connection.cursor() as cursor:
            cursor.execute(_DURATIONS, [list(QUANTILES), str(since)])
            for kind, count, seconds, values in cursor.fetchall():
                number.add_metric([kind], count)
                total.add_metric([kind], seconds)
                for quantile, value in zip(QUANTILES, values, strict=True):
                    quantiles.add_metric([kind, str(quantile)], value)
        return [quantiles, total, number]

    def _from_broker(self) -> list[GaugeMetricFamily]:
        depth = GaugeMetricFamily("manifold_queue_messages", "Messages that wait in a queue.", labels=["queue"])
        with broker_client(settings.CELERY_BROKER_URL) as client:
            for queue in settings.CELERY_TASK_QUEUES:
                depth.add_metric([queue], client.llen(queue))
        return [depth]


def _all_or_nothing(read: Callable[[], list[GaugeMetricFamily]], errors: type[Exception]) -> list[GaugeMetricFamily]:
    try:
        return read()
    except errors:
        return []


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(Platform())


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What Prometheus scrapes."""
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
