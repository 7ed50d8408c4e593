"""How deep brackets stand in brackets. DuckDB looks into nests by recursion: very deep ones end the whole process."""

from __future__ import annotations

from typing import IO

DEEPEST = 100
_CHUNK = 1 << 20
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_DROPPED = bytes(each for each in range(256) if each not in b'[]{}"')


def too_deep(file: IO[bytes], lines: int | None = None) -> bool:
    """Whether a JSON text nests more than a hundred deep, or has as many brackets that nothing closes.

    lines: look no further than behind so many lines that begin with an object.
    """
    opened, rest, quote = b"", b"", b""
    begun = 0
    while (lines is None or begun <= lines) and (chunk := file.read(_CHUNK)):
        begun += chunk.count(b"\n{")
        chunk = rest + chunk
        # What a backslash escapes may stand in the next chunk.
        kept = chunk.rstrip(b"\\")
        chunk, rest = kept, b"\\" * ((len(chunk) - len(kept)) % 2)
        if b"\\" in chunk:
            chunk = chunk.replace(b"\\\\", b"").replace(b'\\"', b"")
        # Two quotes side by side change nothing for what follows: most strings are gone at once.
        pieces = (quote + chunk.translate(_ONE_KIND, _DROPPED)).replace(b'""', b"").split(b'"')
        quote = b"" if len(pieces) % 2 else b'"'
        opened, deep = _left_open(opened + b"".join(pieces[::2]))
        if deep:
            return True
    return False


def _left_open(brackets: bytes) -> tuple[bytes, bool]:
    """The brackets without the pairs, and whether the pairs, or what is left, are too deep."""
    for _ in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"")
        if b"[]" not in brackets:
            return brackets, len(brackets) > DEEPEST
    return brackets, True
