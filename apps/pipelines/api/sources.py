"""Sources and streams where their readers are known: neither goes while a published pipeline reads it."""

from __future__ import annotations

from apps.pipelines import queries
from apps.sources import api as sources
from apps.sources.models import Source


class Readers:
    """Answers the question that the endpoints of sources hand down."""

    def readers(self, source: Source, stream: str | None = None) -> list[str]:
        return queries.readers_of(source, stream)


class SourceViewSet(Readers, sources.SourceViewSet):
    __doc__ = sources.SourceViewSet.__doc__


class StreamViewSet(Readers, sources.StreamViewSet):
    __doc__ = sources.StreamViewSet.__doc__


urlpatterns = sources.routes(SourceViewSet, StreamViewSet)
