"""Saving a form that edits one part of a pipeline's document, and what its page tells where that is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest

from apps.accounts.actors import actor_of
from apps.accounts.page_base import require
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
    """Write the draft, then publish it: the pipeline as it is then, and what to tell where one of them is refused.

    write: given the mark of the text that the page was made of.
    """
    try:
        pipeline = write(request.POST.get("begun_from"))
    except DocumentError as error:
        return pipeline, Told(refused=str(error))
    except Conflict as error:
        if error.code != "edited_meanwhile":
            raise
        pipeline.refresh_from_db()
        return pipeline, Told(overtaken=str(error))
    if publish and pipeline.draft:
        try:
            services.publish_draft(pipeline, actor=actor_of(request.user))
        except DocumentError as error:
            return pipeline, Told(unpublished=str(error))
    return pipeline, None
