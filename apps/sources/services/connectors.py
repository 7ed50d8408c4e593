"""What the connectors are given: parameters with their secrets opened, and declarations."""

from __future__ import annotations

from django.conf import settings

from apps.sources.models import Source, Stream
from apps.sources.parameters import InvalidFields, checked
from apps.sources.services.credentials import opened
from apps.sources.services.inbox import inbox_of
from apps.sources.services.uploads import uploaded
from apps.sources.streams import configured
from dataplane.connectors import registry
from dataplane.connectors.base import Connector, StreamConfig
from dataplane.errors import ManifoldError


def connector_class(key: str) -> type[Connector]:
    """A connector by its key. Raises InvalidFields for one that is not installed."""
    try:
        return registry.get(key)
    except ManifoldError as error:
        raise InvalidFields({"connector": [error.message]}) from None


def connector_of(source: Source) -> Connector:
    """The source's connector with its secrets opened. Raises ManifoldError."""
    params = {**source.params, **opened(source.credential)}
    checked(connector_class(source.connector), params)
    return registry.build(
        source.connector,
        params,
        roots=[str(each) for each in settings.FILE_ROOTS],
        networks=settings.NET_ALLOW,
        uploads=uploaded(source),
        inbox=inbox_of(source),
    )


def binding(stream: Stream) -> tuple[Connector, StreamConfig]:
    """What a run needs to read a stream: its connector with secrets opened, and the stream as declared."""
    return connector_of(stream.source), configured(stream)
