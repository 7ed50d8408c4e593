"""A service that requests need is down: which one it is, and the page that says so and comes back by itself."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from dataplane.errors import ManifoldError

RETRY_AFTER_SECONDS = "5"


def silent(error: BaseException | None) -> str:
    """The service whose silence an error tells of, as a person calls it; empty for any other error."""
    if isinstance(error, OperationalError | InterfaceError):
        return "The database"
    if isinstance(error, RedisError | BrokerError):
        return "Redis"
    return ""


def page(request: HttpRequest, service: str) -> HttpResponse:
    """A page for people that asks again by itself, unless it answers a form. It needs neither a session nor a row."""
    context = {"service": service, "seconds": RETRY_AFTER_SECONDS, "reading": request.method in ("GET", "HEAD")}
    text = render_to_string("503.html", context)
    return HttpResponse(text, status=503, headers={"Retry-After": RETRY_AFTER_SECONDS, "Cache-Control": "no-store"})


def unable(error: ManifoldError) -> HttpResponse:
    """A page with the words of an error that no other page has told."""
    text = render_to_string("console/unable.html", {"said": error.message})
    return HttpResponse(text, status=503, headers={"Retry-After": RETRY_AFTER_SECONDS, "Cache-Control": "no-store"})
