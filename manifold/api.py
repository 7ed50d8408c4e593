"""What every endpoint of the API has in common: pages by cursor, and errors as problems (RFC 9457)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions, pagination
from rest_framework.response import Response
from rest_framework.views import exception_handler


class CursorPagination(pagination.CursorPagination):
    """Pages that stay right while rows are added. Orderings end in the id, so that no row is shown twice."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"
    ordering = "-id"


def problem_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every refusal as `application/problem+json`; a dependency that is down is 503, never an empty list."""
    if isinstance(exc, OperationalError | InterfaceError):
        response: Response | None = Response(
            {"detail": "The database does not answer."}, status=503, headers={"Retry-After": "5"}
        )
    else:
        response = exception_handler(exc, context)
    if response is None:
        return None
    given = response.data
    detail = given.get("detail") if isinstance(given, dict) else None
    response.data = {
        "type": "about:blank",
        "title": response.status_text,
        "status": response.status_code,
        "detail": str(detail or _title(exc)),
        "errors": [] if detail else _errors(given),
        "request_id": getattr(context["request"], "id", ""),
    }
    response.content_type = "application/problem+json"
    return response


def _title(exc: Exception) -> str:
    if isinstance(exc, exceptions.ValidationError):
        return "The body is not valid."
    if isinstance(exc, Http404):
        return "Not found."
    return "Not allowed." if isinstance(exc, PermissionDenied) else "Refused."


def _errors(data: Any, path: str = "") -> list[dict[str, str]]:
    """The fields at fault, flat: where, and what is wrong there."""
    if isinstance(data, dict):
        return [each for key, inner in data.items() for each in _errors(inner, f"{path}.{key}" if path else str(key))]
    if isinstance(data, list):
        return [each for inner in data for each in _errors(inner, path)]
    return [{"field": path, "message": str(data)}]
