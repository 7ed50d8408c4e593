"""Files of fixed width: each column stands at the same letters of every line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from dataplane.connectors.files.encodings import encoding_of, head, text_of
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import bounded_width, empty, unique
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.files.spans import Span, spans_of
from dataplane.connectors.files.texts import ROW, Texts, named
from dataplane.errors import ConfigurationError
from dataplane.relations import literal

# Stands in no line: with it a whole line is one value.
_NOWHERE = "\x1e\x1f\x1e\x1f"


@dataclass(frozen=True)
class Fixed(Texts):
    """The table of one file, read from a copy in UTF-8: letters are counted in it, so that each has to be one."""

    spans: tuple[Span, ...]
    before: int
    buffer: int
    refusal: ClassVar[str] = "NULL"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.spans)

    def texts(self, absolute: str, null_values: Sequence[str], *, rows: int | None = None) -> str:
        items = named(
            ((f"trim(substr(line, {each.first}, {each.last - each.first + 1}))", each.name) for each in self.spans),
            null_values,
        )
        options = (
            f"columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false, delim = {literal(_NOWHERE)}, "
            f"quote = '', escape = '', skip = {self.before}, buffer_size = {self.buffer}"
            ", compression = 'uncompressed'"
        )
        limit = "" if rows is None else f" LIMIT {rows}"
        return (
            f"SELECT {ROW}, {items} FROM (SELECT row_number() OVER () + {self.before} AS {ROW}, line "
            f"FROM read_csv({literal(absolute)}, {options})) WHERE trim(line) <> ''{limit}"
        )


def fixed_of(found: Found, settings: FileSettings, buffer: int) -> Fixed:
    """The table of a file as the settings place its columns. Raises ManifoldError."""
    if not settings.spans:
        raise ConfigurationError(
            f"Nothing tells where the columns of {found.path} stand. Write them as *Columns by position* of the "
            "stream, one a line: amount 11-20",
            code="positions_missing",
            evidence={"file": found.path},
        )
    if not head(found, 4096).strip():
        raise empty(found.path)
    bounded_width(found.path, len(settings.spans))
    return Fixed(settings.spans, settings.skip + settings.header, buffer)


def placed(found: Found, declared: FileSettings | None) -> FileSettings:
    """Settings that say where the columns of a file seem to stand, unless that is declared, and whether the first line
    names them. Raises DataError."""
    sample = head(found)
    encoding = encoding_of(sample)
    lines = text_of(sample, encoding).splitlines()[:-1] or text_of(sample, encoding).splitlines()
    if declared is not None and declared.positions:
        known = "header" in declared.model_fields_set
        return declared if known else declared.model_copy(update={"header": _headed(lines[declared.skip :])})
    spans = spans_of(lines)
    if not spans:
        raise empty(found.path)
    bounded_width(found.path, len(spans))
    header = _headed(lines)
    if header:
        first = next(each for each in lines if each.strip())
        names = unique(each.of(first) for each in spans)
        spans = [replace(each, name=name) for each, name in zip(spans, names, strict=True)]
    return FileSettings(
        pattern=("*",), format="fixed", encoding=encoding, header=header, positions=tuple(str(each) for each in spans)
    )


def beginning(found: Found, settings: FileSettings) -> list[list[str]]:
    """The texts of the first whole lines of a file, column by column."""
    start = head(found)
    lines = text_of(start, settings.encoding).splitlines()
    if len(start) < found.size and len(lines) > 1:
        lines.pop()
    below = lines[settings.skip + settings.header :]
    return [[each.of(line) for each in settings.spans] for line in below if line.strip()]


def _headed(lines: Sequence[str]) -> bool:
    """Whether the first line seems to name the columns: it has no digit, and what stands below it has."""
    first, *others = [each for each in lines if each.strip()][:11] or [""]
    return not any(each.isdigit() for each in first) and any(letter.isdigit() for line in others for letter in line)
