"""Whether the process lives, can serve, and what its dependencies say."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse


def healthz(request: HttpRequest) -> JsonResponse:
    """The process lives; asks nothing of anybody else."""
    return JsonResponse({"status": "ok"})
