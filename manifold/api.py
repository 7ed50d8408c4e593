"""What every endpoint of the API has in common: pages by cursor, and errors as problems (RFC 9457)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django import forms
from django.conf import settings
from django.core import exceptions as django_exceptions
from django.db import DataError, IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions, pagination
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from apps.audit import refusals
from dataplane import errors
from manifold import outage

CONTENT_TYPE = "application/problem+json"
API_PREFIX = "/api/"
# Where programs come: what is wrong is a problem there, and a page elsewhere.
PROGRAMS = (API_PREFIX, "/hooks/", "/in/")
# The first class that fits decides. A wrong body or setting is 400, what the data does not allow is 422.
STATUS_OF: list[tuple[type[errors.ManifoldError], int]] = [
    (refusals.Conflict, 409),
    (refusals.Busy, 429),
    (errors.ConfigurationError, 400),
    (errors.DataError, 422),
    (errors.TransientError, 503),
    (errors.InfrastructureError, 503),
    (errors.LostError, 503),
    (errors.ManifoldError, 500),
]

logger = logging.getLogger(__name__)


class CursorPagination(pagination.CursorPagination):
    """Pages that stay right while rows are added.

    A viewset offers `orderings`, a table from the name that `?ordering=` takes to the fields, of which the last is
    unique; the first one holds where none is asked for. Without a table rows come newest first, by their id.
    """

    page_size = 50
    max_page_size = 500
    page_size_query_param = "page_size"

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        orderings = _orderings(view)
        asked = request.query_params.get("ordering") or next(iter(orderings))
        if asked not in orderings:
            raise exceptions.ValidationError({"ordering": f"Choose one of: {', '.join(orderings)}."})
        return tuple(orderings[asked])

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        size = next(each for each in found if each["name"] == self.page_size_query_param)
        size["schema"] = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        asked = {"type": "string", "enum": list(_orderings(view))}
        return [*found, {"name": "ordering", "in": "query", "required": False, "schema": asked}]

    def decode_cursor(self, request: Any) -> Any:
        try:
            return super().decode_cursor(request)
        except exceptions.NotFound:
            raise exceptions.ValidationError(
                {self.cursor_query_param: "This cursor is not one of ours. Begin again without it."}
            ) from None


class Filters(DjangoFilterBackend):
    """Filters of lists. One that has choices names them where a request chooses none of them."""

    def get_filterset(self, request: Any, queryset: Any, view: Any) -> Any:
        filterset = super().get_filterset(request, queryset, view)
        for field in filterset.form.fields.values() if filterset is not None else ():
            if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
                known = ", ".join(str(value) for value, _ in field.widget.choices if value)
                field.error_messages["invalid_choice"] = f"There is no `%(value)s`. Choose one of: {known}."
        return filterset


def _orderings(view: Any) -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = getattr(view, "orderings", {"-id": ("-id",)})
    return found


def problem_handler(exc: Exception, context: dict[str, Any]) -> Response:
    """Every refusal and every failure as `application/problem+json`; none tells more than a person may know."""
    request_id = getattr(context["request"], "id", "")
    if isinstance(exc, errors.ManifoldError):
        return _of_manifold(exc, request_id)
    silent = outage.silent(exc)
    if silent:
        logger.warning("%s does not answer.", silent, exc_info=exc)
        return _problem(503, f"{silent} does not answer. Try again in a moment.", request_id)
    response = exception_handler(_as_api_exception(exc), context)
    if response is None:
        logger.error("An answer failed.", exc_info=exc)
        return _problem(500, f"This is a bug of ours. The log has the details under {request_id}.", request_id)
    return _of_framework(response, request_id)


def problem(request: HttpRequest, status: int, detail: str) -> JsonResponse:
    """A problem outside the framework's views: an address that leads nowhere, a middleware that refuses."""
    body = _body(status, detail, getattr(request, "id", ""))
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404: a problem for programs, a page elsewhere."""
    if request.path.startswith(PROGRAMS):
        return problem(request, 404, "There is nothing at this address. /api/v1/docs/ lists what there is.")
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: a request that Django itself will not read."""
    if request.path.startswith(PROGRAMS):
        return problem(request, 400, "The request cannot be read.")
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: never a trace. What failed because a service is down is no bug: 503, for programs and for people.

    Nor is what says in words what is wrong, where a page did not foresee it.
    """
    error = sys.exc_info()[1]
    silent = outage.silent(error)
    told = error if isinstance(error, errors.ManifoldError) and error.error_class != "bug" else None
    if request.path.startswith(PROGRAMS):
        if not silent and not told:
            return problem(request, 500, "This is a bug of ours. The log has the details under this request's id.")
        # What a page would tell in more words may not be for whoever sends this.
        said = f"{silent} does not answer" if silent else "This cannot be done as things stand"
        answer = problem(request, 503, f"{said}. Try again in a moment.")
        answer.headers["Retry-After"] = outage.RETRY_AFTER_SECONDS
        return answer
    if silent:
        return outage.page(request, silent)
    return outage.unable(told) if told else defaults.server_error(request)


def _of_manifold(error: errors.ManifoldError, request_id: str) -> Response:
    status = next(number for kind, number in STATUS_OF if isinstance(error, kind))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("An answer failed.", exc_info=error)
    evidence = dict(error.evidence)
    fields = evidence.pop("errors", [])
    more = {"code": error.code, "evidence": evidence, "suggestions": error.as_json()["suggestions"]}
    return _problem(status, error.message, request_id, fields, **more)


def _of_framework(response: Response, request_id: str) -> Response:
    given = response.data
    plain = given.get("detail") if isinstance(given, dict) and set(given) == {"detail"} else None
    fields = [] if plain is not None else _fields(given)
    detail = str(plain) if plain is not None else _sentence(fields)
    response.data = _body(response.status_code, detail, request_id, fields)
    response.content_type = CONTENT_TYPE
    return response


def _as_api_exception(exc: Exception) -> Exception:
    """What Django's own layers raise, in the framework's words."""
    if isinstance(exc, django_exceptions.RequestDataTooBig):
        largest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return exceptions.ParseError(f"A body has at most {largest / 2**20:g} MB. Files are uploaded to a source.")
    if isinstance(exc, django_exceptions.ObjectDoesNotExist):
        return Http404("It is not there any more.")
    if isinstance(exc, django_exceptions.ValidationError):
        return exceptions.ValidationError(exc.message_dict if hasattr(exc, "error_dict") else exc.messages)
    if isinstance(exc, DataError):
        return exceptions.ValidationError("A value does not fit: it is too long, too large or has a NUL character.")
    if isinstance(exc, IntegrityError):
        logger.warning("A constraint of the database refused a write.", exc_info=exc)
        return _Conflict()
    if isinstance(exc, Http404 | django_exceptions.PermissionDenied) and exc.args:
        # The framework would forget the sentence.
        return (exceptions.NotFound if isinstance(exc, Http404) else exceptions.PermissionDenied)(str(exc))
    return exc


class _Conflict(exceptions.APIException):
    status_code = 409
    default_detail = "Somebody else has just changed this. Look again, and repeat it if it still applies."


def _problem(status: int, detail: str, request_id: str, fields: Sequence[Any] = (), **more: Any) -> Response:
    later = status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
    headers = {"Retry-After": outage.RETRY_AFTER_SECONDS} if later else None
    body = _body(status, detail, request_id, fields) | more
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _body(status: int, detail: str, request_id: str, fields: Sequence[Any] = ()) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": list(fields),
        "request_id": request_id,
    }


def _sentence(fields: Sequence[Mapping[str, str]]) -> str:
    first = next(iter(fields), None)
    if first is None:
        return "The request is not valid."
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    place = f"{first['field']}: " if first["field"] else ""
    return f"{place}{first['message']}{more}"


def _fields(data: Any, path: str = "") -> list[dict[str, str]]:
    """The fields at fault, flat: where (`steps[2].name`; empty for the whole body), and what is wrong there."""
    if isinstance(data, Mapping):
        found = []
        for key, inner in data.items():
            here = path if key == api_settings.NON_FIELD_ERRORS_KEY else f"{path}.{key}" if path else str(key)
            found += _fields(inner, here)
        return found
    if isinstance(data, list):
        nested = any(isinstance(inner, Mapping | list) for inner in data)
        return [
            each
            for position, inner in enumerate(data)
            for each in _fields(inner, f"{path}[{position}]" if nested else path)
        ]
    return [{"field": path, "message": str(data)}]
