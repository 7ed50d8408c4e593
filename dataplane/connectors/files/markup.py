"""XML files as tables: the records of a file as JSON lines beside it, and its columns under the declared names."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from dataplane.connectors.files.elements import LARGEST, refused
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import bounded_width
from dataplane.connectors.files.place import require_room
from dataplane.connectors.files.records import TEXT, Record, Records, guessed
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.files.texts import ROW, Texts, named
from dataplane.connectors.schema import Column
from dataplane.errors import ConfigurationError, DataError
from dataplane.relations import identifier, literal

_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_SAMPLE_ROWS = 20_000


@dataclass(frozen=True)
class Markup(Texts):
    """The table of one file, read from `copy`: its columns, and the path in a record from which each comes."""

    copy: str
    columns: tuple[tuple[str, str | None], ...]
    count: int
    refusal: ClassVar[str] = "NULL"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)

    def texts(self, absolute: str, null_values: Sequence[str], *, rows: int | None = None) -> str:
        items = named(
            (("CAST(NULL AS VARCHAR)" if path is None else identifier(path), name) for name, path in self.columns),
            null_values,
        )
        paths = [path for _, path in self.columns if path is not None] or [TEXT]
        types = ", ".join(f"{literal(each)}: 'VARCHAR'" for each in paths)
        # Written as JSON, a record is hardly ever longer, and at most twice as long where it is all quotes.
        options = (
            f"columns = {{{types}}}, format = 'newline_delimited', maximum_object_size = {3 * LARGEST}"
            ", compression = 'uncompressed'"
        )
        limit = "" if rows is None else f" LIMIT {rows}"
        return (
            f"SELECT {ROW}, {items} FROM (SELECT row_number() OVER () AS {ROW}, * "
            f"FROM read_json({literal(absolute)}, {options})){limit}"
        )


def markup_of(
    found: Found, settings: FileSettings, columns: Sequence[Column], folder: str, *, sample: bool = False
) -> Markup:
    """The table of a file, copied into the folder. sample: its first records are enough. Raises ManifoldError."""
    if not settings.path:
        guess = "/".join(guessed(found, settings.encoding))
        raise ConfigurationError(
            f"Nothing tells which elements of {found.path} are its rows. Write their path as *Records* of the stream, "
            f"such as {guess}",
            code="records_missing",
            evidence={"file": found.path, "guess": guess},
        )
    records = Records(found, settings.encoding, settings.path, settings.repeated)
    known: dict[str, None] = {}
    handle, target = tempfile.mkstemp(suffix=".ndjson", dir=folder)
    with open(handle, "wb") as out:
        for batch in records.batches():
            _learn(found, known, batch)
            lines = "".join(f"{_ENCODE(each)}\n" for each in batch).encode()
            require_room(folder, len(lines))
            out.write(lines)
            if sample and records.count >= _SAMPLE_ROWS:
                break
    if not records.there:
        raise _elsewhere(found, settings)
    return Markup(target, _declared(found, list(known), columns), records.count)


def sampled(files: Sequence[Found], settings: FileSettings) -> tuple[FileSettings, dict[str, list[str]]]:
    """The settings with what they lacked, and the texts of some records of each file by column. Raises ManifoldError.

    The path of the records is guessed by the first file.
    """
    path = settings.path or guessed(files[0], settings.encoding)
    repeated = sorted({*settings.repeated, *_lists(files, settings, path)})
    rows = [row for each in files for row in _beginning(each, settings, path, repeated)]
    paths: dict[str, None] = {}
    _learn(files[0], paths, rows)
    if not paths:
        raise refused(files[0], "records_missing", f"has no elements {'/'.join(path)} with a value in them")
    columns = {name: [_text(row.get(each, "")) for row in rows] for each, name in _named(files[0], paths).items()}
    return settings.model_copy(update={"records": "/".join(path), "repeated": tuple(repeated)}), columns


def _lists(files: Sequence[Found], settings: FileSettings, path: tuple[str, ...]) -> set[str]:
    return {
        key
        for each in files
        for row in _beginning(each, settings, path, settings.repeated)
        for key, value in row.items()
        if isinstance(value, list)
    }


def _beginning(found: Found, settings: FileSettings, path: tuple[str, ...], repeated: Sequence[str]) -> list[Record]:
    rows: list[Record] = []
    records = Records(found, settings.encoding, path, repeated)
    for batch in records.batches():
        rows += batch
        if len(rows) >= _SAMPLE_ROWS or records.parsed >= LARGEST:
            break
    return rows[:_SAMPLE_ROWS]


def _text(value: object) -> str:
    return value if isinstance(value, str) else _ENCODE(value)


def _learn(found: Found, known: dict[str, None], rows: Iterable[Record]) -> None:
    """Add the paths that are new. Raises DataError for more than there may be columns."""
    for row in rows:
        if not row.keys() <= known.keys():
            known.update(dict.fromkeys(row))
            bounded_width(found.path, len(known))


def _short(path: str) -> str:
    """What a column is called if no other wants that name."""
    return "text" if path == TEXT else path.removeprefix("@").replace("/@", "_").replace("/", "_")


def _named(found: Found, paths: Iterable[str]) -> dict[str, str]:
    """A column's name for each path: the short one for whichever comes first of elements, nested ones, attributes."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in sorted(paths, key=lambda each: ("@" in each, "/" in each, each == TEXT)):
        short = _short(path)
        names[path] = path if short.casefold() in taken else short
        if names[path].casefold() in taken:
            raise _twins(found, path)
        taken.add(names[path].casefold())
    return {path: names[path] for path in paths}


def _declared(found: Found, paths: Sequence[str], columns: Sequence[Column]) -> tuple[tuple[str, str | None], ...]:
    """Each declared column with its path, None where no record has it, and then what nobody has declared."""
    by_name = {each.name.casefold(): each.name for each in columns}
    given: dict[str, str] = {}
    others: list[tuple[str, str | None]] = []
    for path in paths:
        name = by_name.get(path.casefold()) or by_name.get(_short(path).casefold())
        if name is None:
            others.append((path, path))
        elif name in given:
            raise _twins(found, path, given[name])
        else:
            given[name] = path
    if len({path.casefold() for path in paths}) < len(paths):
        raise _twins(found, next(each for each in paths if sum(each.casefold() == one.casefold() for one in paths) > 1))
    if paths and not given:
        raise refused(
            found,
            "records_differ",
            f"has records with {', '.join(paths[:5])}, and none of the stream's columns is among them",
        )
    return (*((each.name, given.get(each.name)) for each in columns), *others)


def _twins(found: Found, path: str, other: str = "") -> DataError:
    beside = f"{other} and {path}" if other else f"{path} in large and in small letters"
    return DataError(
        f"{found.path} has {beside} in its records, which would be one column of the stream. Discover the stream "
        "again, or deliver the file with different names.",
        code="xml_ambiguous",
        evidence={"file": found.path, "paths": [each for each in (other, path) if each]},
    )


def _elsewhere(found: Found, settings: FileSettings) -> DataError:
    return DataError(
        f"{found.path} holds no elements {settings.records}. Correct the stream's *Records*, or the file.",
        code="records_missing",
        evidence={"file": found.path, "records": settings.records},
    )
