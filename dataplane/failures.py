"""What DuckDB and the operating system report, as the classes of `dataplane.errors`."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import duckdb

from dataplane.errors import (
    BugError,
    CancelledError,
    ConfigurationError,
    DataError,
    InfrastructureError,
    ManifoldError,
    Suggestion,
)

_NO_JSON = re.compile(r'Malformed JSON in file "(.*?)", at byte \d+ in (line|record/value) (\d+): ([^.]*)')
_ENDS_DIFFER = "state machine reached an invalid state"
_ITS_FILE = re.compile(r"^\s*file = (.+)$", re.MULTILINE)
_FULL = ("no space left on device", "disk quota exceeded", "max_temp_directory_size")


@contextmanager
def duckdb_errors() -> Iterator[None]:
    """Translate what DuckDB raises within; an interrupt becomes CancelledError. Our own errors pass unchanged.

    An error that was mapped before by somebody who knew more (a position in an operator's SQL, say) stays as it is.
    """
    try:
        yield
    except duckdb.Error as error:
        raise translated(error) from error
    except MemoryError as error:
        raise out_of_memory() from error
    except RuntimeError as error:
        # DuckDB's own objects raise plain RuntimeErrors for a failed allocation inside an extension.
        if "bad_alloc" not in str(error):
            raise
        raise out_of_memory() from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full() from error


def translated(error: duckdb.Error) -> ManifoldError | CancelledError:
    """The same failure in our words."""
    text = str(error)
    if isinstance(error, duckdb.InterruptException):
        return CancelledError()
    if any(each in text.lower() for each in _FULL):
        return disk_full()
    if isinstance(error, duckdb.OutOfMemoryException):
        return out_of_memory()
    first = text.split("\n", 1)[0]
    evidence = {"detail": text}
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return DataError(f"A value does not fit its type. {first}", code="conversion", evidence=evidence)
    if isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
        return ConfigurationError(f"The SQL cannot be run. {first}", code="sql", evidence=evidence)
    if isinstance(error, duckdb.PermissionException):
        return ConfigurationError(f"The SQL reaches outside its inputs. {first}", code="sql_refused", evidence=evidence)
    if isinstance(error, duckdb.IOException) and "XML parse error" in text:
        return DataError(f"The workbook is damaged. {first}", code="invalid_input", evidence=evidence)
    if isinstance(error, duckdb.IOException):
        return InfrastructureError(f"A file could not be read or written. {first}", code="io", evidence=evidence)
    if malformed := _NO_JSON.search(first):
        return _no_json(*malformed.groups())
    if _ENDS_DIFFER in first and (file := _ITS_FILE.search(text)):
        return _ends_differ(file.group(1))
    if isinstance(error, duckdb.InvalidInputException | duckdb.DataError):
        return DataError(f"The rows could not be read. {first}", code="invalid_input", evidence=evidence)
    return BugError(f"DuckDB failed unexpectedly. {first}", code="duckdb", evidence=evidence)


def _no_json(file: str, unit: str, number: str, reason: str) -> DataError:
    # DuckDB counts the line or object behind the one that it could not take.
    place = f"{'line' if unit == 'line' else 'object'} {int(number) - 1}"
    return DataError(
        f"{file} is no JSON in {place}: {reason}. Have it mended and delivered again, or set the file aside.",
        code="json_malformed",
        evidence={"file": file, "place": place},
        suggestions=[Suggestion("ignore_file", f"Set {file} aside", "The run goes on without it.", applicable=True)],
    )


def _ends_differ(file: str) -> DataError:
    return DataError(
        f"The lines of {file} end in several ways: in CR LF up to some line, say, and in LF behind it. Have it "
        "delivered again with one of them, or set it aside.",
        code="line_ends",
        evidence={"file": file},
        suggestions=[Suggestion("ignore_file", f"Set {file} aside", "The run goes on without it.", applicable=True)],
    )


def with_names(error: DataError, names: Mapping[str, str]) -> DataError:
    """The same error with files by the names that people know: where they lie here is nobody's business.

    names: by the place where a file was read.
    """

    def shown(value: object) -> object:
        for place in sorted(names, key=len, reverse=True) if isinstance(value, str) else ():
            value = str(value).replace(place, names[place])
        return value

    evidence = {key: shown(value) for key, value in error.evidence.items()}
    suggestions = [replace(each, title=str(shown(each.title))) for each in error.suggestions]
    return DataError(str(shown(error.message)), code=error.code, evidence=evidence, suggestions=suggestions)


def disk_full() -> InfrastructureError:
    return InfrastructureError(
        "The disk is full. Free space or enlarge the disk of the storage.",
        code="disk_full",
    )


def out_of_memory() -> InfrastructureError:
    return InfrastructureError(
        "The step needed more memory than it may use. Raise MANIFOLD_STEP_MEMORY or let it work on fewer rows at once.",
        code="out_of_memory",
    )
