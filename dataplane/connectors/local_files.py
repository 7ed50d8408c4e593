"""Files in a folder of this machine, in every format that file sources know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from dataplane.connectors import recognising
from dataplane.connectors.base import Capabilities
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.folder import Folder
from dataplane.connectors.files.place import Place
from dataplane.connectors.windows import FileRef


class LocalFilesParams(BaseModel):
    """Where the files are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1,
        title="Folder",
        description="A folder below one that MANIFOLD_FILE_ROOTS allows; files in its subfolders are found too.",
    )


class LocalFiles(FileConnector):
    """A folder whose files are read as named streams, each a pattern with settings and columns of its own."""

    key = "local_files"
    near = True
    title = "Local files"
    summary = "CSV, TSV, JSON, Parquet, Excel and other files in a folder, by name pattern, whole or only new ones."
    tested_with = "files on disk"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, parallel=True, resumable=True)
    Params: ClassVar[type[LocalFilesParams]] = LocalFilesParams
    params: LocalFilesParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return recognising.local_folder(clue)

    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        return Folder(self.params.path, self.roots)
