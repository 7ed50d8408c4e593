"""The connectors of files of other machines: a session with one of them, whose files are brought here to be read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from dataplane.connectors.base import Capabilities
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.remote import Remote, Spool
from dataplane.connectors.windows import FileRef


class Spooled(FileConnector):
    """Base of these connectors. Their parameters say with `largest_mb` how large a file may be."""

    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    # No model of its own: a form shows the fields of a base first, and this one belongs to the last.
    params: Any

    @abstractmethod
    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        """A session that is not opened yet; see `_place`."""

    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        largest = self.params.largest_mb * 1_000_000
        return Spool(self._remote(sample=sample, known=known), sample=sample, within=within, largest=largest)
