"""What the connectors are given: parameters with their secrets opened, and declarations."""

from __future__ import annotations

from django.conf import settings
from pydantic import BaseModel

from apps.sources.models import Source, Stream
from apps.sources.parameters import InvalidFields, checked
from apps.sources.services.credentials import opened
from apps.sources.services.grants import grant_of
from apps.sources.services.inbox import inbox_of
from apps.sources.services.uploads import uploaded
from apps.sources.streams import configured
from dataplane.connectors import registry
from dataplane.connectors.base import Connector
from dataplane.connectors.schema import StreamConfig
from dataplane.errors import ManifoldError


def connector_class(key: str) -> type[Connector]:
    """A connector by its key. Raises InvalidFields for one that is not installed."""
    try:
        return registry.get(key)
    except ManifoldError as error:
        raise InvalidFields({"connector": [error.message]}) from None


def connector_of(source: Source) -> Connector:
    """The source's connector with its secrets opened. Raises ManifoldError."""
    given = {**source.params, **opened(source.credential)}
    params = checked(connector_class(source.connector), given)
    return registry.build(
        source.connector,
        given,
        roots=[str(each) for each in settings.FILE_ROOTS],
        networks=settings.NET_ALLOW,
        uploads=uploaded(source),
        inbox=inbox_of(source),
        grant=grant_of(source, params),
    )


def checked_params(source: Source) -> BaseModel:
    """The source's parameters as its connector understands them, with secrets opened. Raises ManifoldError."""
    return checked(connector_class(source.connector), {**source.params, **opened(source.credential)})


def binding(stream: Stream) -> tuple[Connector, StreamConfig]:
    """What a run needs to read a stream: its connector with secrets opened, and the stream as declared."""
    return connector_of(stream.source), configured(stream)
