"""`/hooks/<id>`: the door through which signed messages from outside start runs. Nobody signs in here."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from gunicorn.http.errors import ParseException

from apps.accounts import signed
from apps.accounts.addresses import network_of
from apps.audit.refusals import Busy, Conflict
from apps.pipelines import hooks
from apps.pipelines.models import Hook
from manifold.api import problem

LARGEST = 256 * 1024


@csrf_exempt
@require_POST
def receive(request: HttpRequest, hook_id: uuid.UUID) -> HttpResponse:
    """202 with the run that the message has started, 200 when the same message came before.

    429 after too many messages in a minute, 401 for a wrong signature, 404 for no such address, 410 for one that is
    switched off, 413 for a body that is too long, 409 where the pipeline has nothing published. What the body says is
    signed, and not used.
    """
    hook = Hook.objects.select_related("pipeline").filter(pk=hook_id).first()
    if hook is None:
        return unsigned(request, 404, "There is no inbound trigger at this address.")
    if not hook.enabled:
        return problem(request, 410, "This inbound trigger is switched off.")
    body = body_of(request, LARGEST)
    if body is None:
        return unsigned(request, 413, f"A message has at most {LARGEST // 1024} KB.")
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        run, fresh = hooks.receive(hook, body=body, headers=headers)
    except signed.NotSigned as error:
        return unsigned(request, 401, error.message)
    except Busy as error:
        return too_many(request, error)
    except Conflict as error:
        return problem(request, 409, error.message)
    answer = {"run": str(run.pk) if run else None, "state": run.state if run else None}
    return JsonResponse(answer, status=202 if fresh else 200)


def body_of(request: HttpRequest, most: int) -> bytes | None:
    """The body of a message; None for one of more bytes, which is not read to its end.

    Raises BadRequest where its pieces are none, or it breaks off.
    """
    if int(request.headers.get("Content-Length") or 0) > most:
        return None
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.body
    # Django takes a body whose length is not told for empty; the server knows where it ends.
    try:
        body: bytes = request.META["wsgi.input"].read(most + 1)
    except (OSError, ParseException) as error:
        raise BadRequest("The body of the message cannot be read.") from error
    return body if len(body) <= most else None


def unsigned(request: HttpRequest, status: int, said: str) -> HttpResponse:
    """What is not rightly signed counts for where it comes from; who signs rightly there does not suffer for it."""
    try:
        where = f"hooks:{network_of(request)}"
        signed.slow_down(where, "without a right signature from your address", settings.HOOK_MESSAGES)
    except Busy as error:
        return too_many(request, error)
    return problem(request, status, said)


def too_many(request: HttpRequest, error: Busy) -> HttpResponse:
    """429 with the seconds to wait."""
    answer = problem(request, 429, error.message)
    answer.headers["Retry-After"] = str(error.evidence["seconds"])
    return answer


urlpatterns = [path("hooks/<uuid:hook_id>", receive, name="hook")]
