"""Events of inbound webhooks go when they are old and every pipeline that reads them has loaded them."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from apps.audit.ticks import one_by_one, tick
from apps.pipelines import lag
from apps.sources import services
from apps.sources.models import Source
from dataplane.connectors.webhooks import STREAM, Webhooks


@tick
def prune() -> None:
    """Remove what may go, some thousand events of each source at a time."""
    one_by_one(prune_source, Source.objects.filter(connector=Webhooks.key))


def prune_source(source: Source) -> int:
    """Remove events of one source; how many. What nobody reads, or somebody has not loaded yet, stays."""
    positions = []
    for progress in lag.readings(source, STREAM).values():
        span = progress.spans.get("")
        positions.append(int(span.upper) if span else 0)
    if not positions:
        return 0
    before = timezone.now() - timedelta(days=source.params["keep_days"])
    return services.prune_events(source, loaded=min(positions), before=before)
