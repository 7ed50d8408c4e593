"""How the API reads a body; by itself, for the framework imports it while `manifold.api` imports the framework."""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, parsers


class Body(parsers.JSONParser):
    """JSON, of no more depth than Python follows."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Raises ParseError."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError("The body is nested too deeply.") from error
