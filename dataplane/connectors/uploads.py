"""Files that were given to a source through the console, the API or the command, read like those of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from dataplane.connectors import recognising
from dataplane.connectors.base import Capabilities, Uploaded
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.found import Found, gone
from dataplane.connectors.files.place import Near, Place, Work
from dataplane.connectors.windows import FileRef


class UploadsParams(BaseModel):
    """There is nothing to say: the source keeps its files itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Given(Near):
    """The files of one source, by the names under which they were given."""

    def __init__(self, uploads: Sequence[Uploaded]) -> None:
        self._found = {each.name: Found(each.name, each.absolute, each.size, each.changed) for each in uploads}

    def steps(self) -> Sequence[Work]:
        return [("resolve", lambda: "The source keeps its files itself.")]

    def files(self) -> tuple[list[Found], list[str]]:
        found = sorted(self._found.values(), key=lambda each: each.path)
        lost = [each.path for each in found if not os.path.exists(each.absolute)]
        warnings = [f"{path} is not in the storage any more. Upload it again, or remove it." for path in lost]
        return [each for each in found if each.path not in lost], warnings

    def find(self, path: str) -> Found:
        found = self._found.get(path)
        if found is None or not os.path.exists(found.absolute):
            raise gone(path)
        return found


class Uploads(FileConnector):
    """A drop folder without a folder: it is filled through Manifold."""

    key = "uploads"
    near = True
    title = "Uploaded files"
    summary = "Files that people or programs upload here, read like those of a folder: whole, or only new ones."
    tested_with = "files on disk"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, parallel=True, resumable=True)
    Params: ClassVar[type[UploadsParams]] = UploadsParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.own_file(clue)

    takes_uploads = True

    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        return Given(self.uploads)
