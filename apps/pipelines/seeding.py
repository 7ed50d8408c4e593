"""A seed of only some steps: it may not read a part of what a load holds together with rows of other streams."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from apps.audit.refusals import Conflict
from apps.pipelines.document import Document
from apps.pipelines.models import Window


def refuse_in_part(document: Document, pipeline_id: uuid.UUID, only: Sequence[str]) -> None:
    """Raises Conflict where a load would be replaced by what these steps read, without what it has of other extracts.

    It does not matter that the load is left out: the next run takes the rows to it.
    """
    counting = Window.objects.filter(pipeline_id=pipeline_id).exclude(state="forgotten")
    begun = set(counting.values_list("step_key", flat=True).distinct())
    robbed: dict[str, tuple[str, str]] = {}
    while more := _robbed(document, [*only, *robbed], begun):
        robbed |= more
    if robbed:
        load, (again, left) = next(iter(robbed.items()))
        steps = ", ".join(f"`{each}`" for each in robbed)
        raise Conflict(
            f"A seed of only these steps reads `{again}` again and not `{left}`, and `{load}` loads rows of both. Add "
            f"{steps} to the steps, so that all of them are read again, or start a seed of the whole pipeline.",
            code="seed_in_part",
            evidence={"load": load, "add": list(robbed)},
        )


def _robbed(document: Document, only: Sequence[str], begun: Collection[str]) -> dict[str, tuple[str, str]]:
    """The loads that hold rows of an extract that these steps read and of one that they do not, with both.

    One that replaces its dataset by what each run reads holds no rows of earlier ones.
    """
    graph = document.graph()
    read = {each.key for each in document.only(only).incremental()}
    found = {}
    for key in (each.key for each in graph.nodes.values() if each.kind == "load"):
        above = graph.incremental_direct(key)
        again = [each for each in above if each in read]
        left = [each for each in above if each not in read and each in begun]
        if again and left and document.steps[key].spec.mode != "replace":
            found[key] = again[0], left[0]
    return found
