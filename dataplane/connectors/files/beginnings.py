"""The beginning of a delimited file as a file of its own, for what looks at no more of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from dataplane.connectors.files.encodings import SAMPLE, head
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.settings import FileSettings


def beginning_of(found: Found, settings: FileSettings, folder: str) -> Found:
    """The first records of a large file, copied into the folder; the file itself where it is small.

    So it is, too, where no line ends in the beginning, or lines cannot be told by bytes. Raises ManifoldError.
    """
    if settings.encoding.startswith(("utf-16", "utf-32")):
        return found
    begun = head(found, SAMPLE + 1)
    end = _last_end(begun, (settings.quote or "").encode()) if len(begun) > SAMPLE else 0
    if not end:
        return found
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".begun", delete=False) as file:
        file.write(begun[:end])
    return replace(found, absolute=file.name)


def _last_end(begun: bytes, quote: bytes) -> int:
    """Where the last line ends that is not within quotes; where a quote seems never to end, the last line at all."""
    place = end = quotes = 0
    for line in begun.splitlines(keepends=True):
        place += len(line)
        quotes += line.count(quote) if quote else 0
        if line.endswith(b"\n") and quotes % 2 == 0:
            end = place
    # A quote that stands alone in a text turns within and without over: then nothing can be told by counting.
    return end if end > len(begun) // 2 else begun.rfind(b"\n") + 1
