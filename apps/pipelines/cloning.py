"""A pipeline under another name: its document as it was written, comments and all, with names of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apps.audit.context import Actor
from apps.audit.refusals import Conflict, Invalid
from apps.pipelines import document as documents
from apps.pipelines import services
from apps.pipelines import text as texts
from apps.pipelines.document import Document
from apps.pipelines.models import Pipeline
from apps.pipelines.problems import Path

LONGEST = 63


def clone_pipeline(
    pipeline: Pipeline, slug: str, *, datasets: Mapping[str, str] | None = None, actor: Actor
) -> Pipeline:
    """A draft of a new pipeline with the same steps, which loads datasets of its own, since a dataset has one owner.

    `datasets` says what they are called; one that it leaves out is called after the new pipeline. Raises Conflict where
    the name is taken or no document is right, Invalid for a dataset that the document does not load.
    """
    text, document = _written(pipeline)
    loads = document.loads()
    unknown = next((each for each in datasets or {} if each not in loads), None)
    if unknown is not None:
        message = f"The document loads no dataset `{unknown}`. It loads: {', '.join(loads) or 'none'}."
        raise Invalid("datasets", message, code="no_such_dataset")
    names = _names(document, pipeline.slug, slug) | dict(datasets or {})
    return services.create_pipeline(pipeline.project, slug, text=_renamed(text, slug, names), actor=actor)


def names_in_clone(pipeline: Pipeline, slug: str) -> dict[str, str]:
    """What each dataset that the pipeline loads would be called in its clone. Raises Conflict as cloning does."""
    return _names(_written(pipeline)[1], pipeline.slug, slug)


def _names(document: Document, before: str, after: str) -> dict[str, str]:
    return {each: _called(each, before, after) for each in document.loads()}


def _called(dataset: str, before: str, after: str) -> str:
    return after if dataset == before else f"{after}-{dataset}"[:LONGEST].rstrip("-")


def _written(pipeline: Pipeline) -> tuple[str, Document]:
    """The draft where it is right, else what is published."""
    for text in (pipeline.draft, pipeline.published.text if pipeline.published else ""):
        document, _ = documents.parse(text) if text else (None, [])
        if document is not None:
            return text, document
    raise Conflict(
        f"No document of `{pipeline.slug}` is right as it stands. Mend its draft first.", code="nothing_to_clone"
    )


def _renamed(text: str, slug: str, datasets: Mapping[str, str]) -> str:
    """The text with the pipeline's and the datasets' names replaced where they stand, the last one first.

    Datasets that only are read keep their names. Raises Conflict for a text that is written too strangely for it.
    """
    value, places, _ = texts.read(text)
    new: dict[Path, tuple[str, str]] = {("pipeline",): (value["pipeline"], slug)}
    for path in places.at:
        named = _at(value, path) if path[-1:] == ("dataset",) else None
        if isinstance(named, str) and named in datasets:
            new[path] = (named, datasets[named])
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    for path, (old, name) in sorted(new.items(), key=lambda pair: places.at[pair[0]], reverse=True):
        line, column = places.at[path]
        offset = starts[line - 1] + column - 1
        found = re.compile(rf"([\"']?){path[-1]}\1\s*:\s*([\"']?){re.escape(old)}\2(?![\w-])").match(text, offset)
        if found is None:
            raise Conflict(
                f"The name `{old}` in line {line} is written in a way that cannot be replaced. Write it plainly.",
                code="cannot_rename",
            )
        text = f"{text[:offset]}{path[-1]}: {name}{text[found.end() :]}"
    return text


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
