"""SHA-256 of a large file, made while the file is written."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

_PAUSE = 0.02
_CHUNK = 1 << 20
# So much is brought to disk at a time, so that little is left when the writer is done.
_STRETCH = 32 << 20


class Following:
    """Reads behind a writer that only adds to a new file, in a thread of its own, and has the disk take what is there.

    path: absolute; the file need not be there yet. Leaving the context says that the writer is done. What has just been
    added is read a moment later, when it is sure to be whole.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._done = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="following")

    def __enter__(self) -> Following:
        self._future: Future[str] = self._pool.submit(self._follow)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._pool.shutdown(wait=True)

    def sha256(self, path: str) -> str:
        """The SHA-256 of the file, whatever it is called elsewhere. Raises OSError when it cannot be read or kept."""
        return self._future.result()

    def _follow(self) -> str:
        while not os.path.exists(self._path) and not self._done.wait(_PAUSE):
            pass
        digest, taken, kept = hashlib.sha256(), 0, 0
        view = memoryview(bytearray(_CHUNK))
        with open(self._path, "rb", buffering=0) as file:
            done, whole = False, 0
            while not done:
                done = self._done.wait(_PAUSE)
                # All of it once the writer is done, before that what was there a pause ago.
                there = os.fstat(file.fileno()).st_size
                until, whole = there if done else whole, there
                while taken < until:
                    size: int = file.readinto(view[: until - taken])
                    if not size:
                        raise OSError(errno.EIO, "a file that is only added to has become shorter", self._path)
                    digest.update(view[:size])
                    taken += size
                if taken - kept >= _STRETCH and not done:
                    os.fdatasync(file.fileno())
                    kept = taken
        return digest.hexdigest()
