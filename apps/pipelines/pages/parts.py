"""Saving a form that edits one part of a pipeline's document, and what its page tells where that is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction
from django.http import HttpRequest

from apps.accounts.actors import actor_of
from apps.accounts.page_base import require
from apps.audit.context import Actor, acting
from apps.audit.refusals import Conflict
from apps.pipelines import services
from apps.pipelines.models import Pipeline
from apps.pipelines.problems import DocumentError


@dataclass(frozen=True)
class Told:
    """What is said above a form: what is wrong with it, with what stands in the draft now, or with all of the draft."""

    refused: str = ""
    overtaken: str = ""
    unpublished: str = ""

    @property
    def status(self) -> int:
        """The status of the page that says it."""
        return 409 if self.overtaken else 422


def publishes(request: HttpRequest) -> bool:
    """Whether the draft is to be published, too, which takes an administrator."""
    if request.POST.get("do") != "publish":
        return False
    require(request, "manage")
    return True


def save(
    request: HttpRequest, pipeline: Pipeline, write: Callable[[str | None], Pipeline], *, publish: bool
) -> tuple[Pipeline, Told | None]:
    """Write the draft and publish it, as one: nobody's other draft comes between. What is wrong with the whole of the
    draft keeps it from being published, and not from being written.

    Returns the pipeline as it is then, and what to tell where one of them is refused. write: given the mark of the text
    that the page was made of.
    """
    unpublished, actor = "", actor_of(request.user)
    try:
        with acting(actor):
            pipeline = write(request.POST.get("begun_from"))
            if publish and pipeline.draft:
                unpublished = _publish(pipeline, actor)
    except DocumentError as error:
        return pipeline, Told(refused=str(error))
    except Conflict as error:
        if error.code != "edited_meanwhile":
            raise
        pipeline.refresh_from_db()
        return pipeline, Told(overtaken=str(error))
    return pipeline, Told(unpublished=unpublished) if unpublished else None


def _publish(pipeline: Pipeline, actor: Actor) -> str:
    """What keeps the draft from being published; nothing where it is published."""
    try:
        with transaction.atomic():
            services.publish_draft(pipeline, actor=actor)
    except DocumentError as error:
        return str(error)
    return ""
