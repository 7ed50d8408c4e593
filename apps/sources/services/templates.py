"""Sources of well-known services, begun by a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.sources.parameters import InvalidFields
from dataplane.connectors import wellknown
from dataplane.connectors.wellknown import Template
from dataplane.errors import ConfigurationError


def template_of(key: str, connector: str) -> Template:
    """A template for this connector. Raises InvalidFields."""
    try:
        found = wellknown.template(key)
    except ConfigurationError as error:
        raise InvalidFields({"template": [error.message]}) from None
    if found.connector != connector:
        raise InvalidFields({"template": [f"{found.title} is a template of the connector {found.connector}."]})
    return found


def begun_by(key: str, connector: str, params: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """Parameters with those of a template where nobody says otherwise, and what it asks for in its places.

    whole: they are all there already, as a form sends them. Without a key they are as they were. Raises InvalidFields.
    """
    if not key:
        return dict(params)
    fill = wellknown.placed if whole else wellknown.filled
    try:
        return fill(template_of(key, connector), params)
    except ConfigurationError as error:
        if isinstance(error, InvalidFields):
            raise
        raise InvalidFields({each["field"]: [each["message"]] for each in error.evidence["errors"]}) from None
