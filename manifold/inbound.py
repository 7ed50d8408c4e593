"""`/in/<id>`: the door through which others send events to sources of inbound webhooks. Nobody signs in here."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from apps.accounts import signed
from apps.audit.refusals import Busy
from apps.sources import services
from apps.sources.models import Source
from dataplane.connectors.webhooks import Webhooks
from manifold.hooks import body_of, too_many, unsigned


@csrf_exempt
@require_POST
def receive(request: HttpRequest, source_id: uuid.UUID) -> HttpResponse:
    """202 when the event is durable, 200 when one of the same id came before.

    429 after too many events in a minute, 401 for a wrong signature, 404 for no such address, 413 for a body that is
    too long.
    """
    source = Source.objects.select_related("credential").filter(pk=source_id, connector=Webhooks.key).first()
    if source is None:
        return unsigned(request, 404, "There is no source of events at this address.")
    largest = int(source.params.get("largest_kb", 0))
    body = body_of(request, largest * 1024)
    if body is None:
        return unsigned(request, 413, f"An event has at most {largest} KB.")
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        fresh = services.receive_event(source, body=body, headers=headers)
    except signed.NotSigned as error:
        return unsigned(request, 401, error.message)
    except Busy as error:
        return too_many(request, error)
    return JsonResponse({"taken": fresh}, status=202 if fresh else 200)


urlpatterns = [path("in/<uuid:source_id>", receive, name="inbound")]
