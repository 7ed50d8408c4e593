"""Avro files as tables: the records of a file as Parquet beside it, each value exactly or its row set aside."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import duckdb
import fastavro
import pyarrow as pa
from pyarrow import parquet

from dataplane.connectors.files import casts
from dataplane.connectors.files.avro_blocks import Blocks
from dataplane.connectors.files.avro_records import Records
from dataplane.connectors.files.avro_schema import Schema, schema_of
from dataplane.connectors.files.avro_types import Field
from dataplane.connectors.files.elements import refused
from dataplane.connectors.files.encodings import broken, open_bytes
from dataplane.connectors.files.found import Found
from dataplane.connectors.files.layouts import bounded_width, unique
from dataplane.connectors.files.place import require_room
from dataplane.connectors.files.settings import FileSettings
from dataplane.connectors.files.texts import REFUSAL, ROW
from dataplane.connectors.schema import Column
from dataplane.relations import identifier, literal

_SAMPLE_ROWS = 20_000
_SHOWN = 100
_NESTED = ("STRUCT", "MAP")


@dataclass(frozen=True)
class Avro:
    """The table of one file, read from `copy`: its columns, and the type in which each stands there."""

    copy: str
    columns: tuple[tuple[str, str], ...]
    refusal: ClassVar[str] = REFUSAL

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)

    def texts(self, absolute: str, null_values: Sequence[str], *, rows: int | None = None) -> str:
        items = "".join(f", c{at} AS {identifier(name)}" for at, name in enumerate(self.names))
        limit = "" if rows is None else f" LIMIT {rows}"
        source = f"read_parquet({literal(absolute)}, file_row_number = true, hive_partitioning = false)"
        return f"SELECT file_row_number + 1 AS {ROW}, {REFUSAL}{items} FROM {source}{limit}"

    def value(self, column: Column, settings: FileSettings) -> str:
        name = identifier(column.name)
        found = next(type_ for there, type_ in self.columns if there == column.name)
        if found == column.type:
            return name
        if column.type == "JSON" and (found.startswith(_NESTED) or found.endswith("]")):
            return f"CAST({name} AS JSON)"
        return casts.careful(f"CAST({name} AS VARCHAR)", column.type)


def avro_of(
    connection: duckdb.DuckDBPyConnection,
    found: Found,
    columns: Sequence[Column],
    folder: str,
    *,
    sample: bool = False,
) -> Avro:
    """The table of a file, copied into the folder. sample: its first records are enough. Raises ManifoldError."""
    handle, target = tempfile.mkstemp(suffix=".parquet", dir=folder)
    try:
        with open(handle, "wb") as out, open_bytes(found.absolute) as file:
            blocks = Blocks(found, file)
            schema = schema_of(found, blocks.schema)
            kept = _arrow(schema)
            rows = 0
            with parquet.ParquetWriter(out, kept, compression="zstd") as writer:
                for slice_ in _records(found, blocks, schema).slices():
                    batch = _batch(slice_, schema, kept)
                    require_room(folder, batch.nbytes)
                    writer.write_batch(batch)
                    rows += batch.num_rows
                    if sample and rows >= _SAMPLE_ROWS:
                        break
    except pa.ArrowInvalid as error:
        raise broken(found.path, error) from error
    except OSError as error:
        if error.errno is None:
            raise broken(found.path, error) from error
        raise
    types = _types(connection, kept)
    return Avro(target, tuple(zip(_declared(found, schema.fields, columns), types, strict=True)))


def avro_columns(connection: duckdb.DuckDBPyConnection, found: Found) -> tuple[Column, ...]:
    """The columns of a file as its schema says. Raises ManifoldError."""
    with open_bytes(found.absolute) as file:
        schema = schema_of(found, Blocks(found, file).schema)
    bounded_width(found.path, len(schema.fields))
    types = _types(connection, _arrow(schema))
    return tuple(
        Column(name, each.value.type or type_, native=each.value.type or type_, warning=each.value.warning)
        for name, type_, each in zip(_names(schema.fields), types, schema.fields, strict=True)
    )


def _records(found: Found, blocks: Blocks, schema: Schema) -> Records:
    bounded_width(found.path, len(schema.fields))
    try:
        return Records(blocks, schema)
    except fastavro.schema.SchemaParseException as error:
        raise refused(found, "avro_schema", f"has a schema that cannot be used: {error}") from error


def _arrow(schema: Schema) -> pa.Schema:
    """The copy's columns by their places, so that no name of a file gets in the way, and why a row cannot be taken."""
    columns = [(f"c{at}", each.value.arrow) for at, each in enumerate(schema.fields)]
    return pa.schema([(REFUSAL, pa.string()), *columns])


def _types(connection: duckdb.DuckDBPyConnection, kept: pa.Schema) -> list[str]:
    """What DuckDB calls the types of the columns."""
    connection.register("__avro", kept.empty_table())
    rows = connection.execute("DESCRIBE SELECT * FROM __avro").fetchall()
    connection.unregister("__avro")
    return [type_ for _, type_, *_ in rows][1:]


def _batch(rows: list[dict[str, Any]], schema: Schema, kept: pa.Schema) -> pa.RecordBatch:
    refusals: list[str | None] = [None] * len(rows)
    columns = [_column([each[field.name] for each in rows], field, refusals) for field in schema.fields]
    return pa.RecordBatch.from_arrays([pa.array(refusals, pa.string()), *columns], schema=kept)


def _column(given: list[Any], field: Field, refusals: list[str | None]) -> pa.Array:
    """The values of a column; one that does not fit is missing, and its row says why."""
    value = field.value
    try:
        return pa.array([value.convert(each) for each in given] if value.convert else given, value.arrow)
    except (pa.ArrowException, ValueError, OverflowError):
        pass
    fitting: list[Any] = []
    for at, each in enumerate(given):
        try:
            one = value.convert(each) if value.convert else each
            pa.array([one], value.arrow)
        except (pa.ArrowException, ValueError, OverflowError):
            one = None
            why = f"{field.name} holds {str(each)[:_SHOWN]!a}, which its type in the file does not hold"
            refusals[at] = f"{refusals[at]}; {why}" if refusals[at] else why
        fitting.append(one)
    return pa.array(fitting, value.arrow)


def _names(fields: Sequence[Field]) -> list[str]:
    return unique([ROW, REFUSAL, *(each.name for each in fields)])[2:]


def _declared(found: Found, fields: Sequence[Field], columns: Sequence[Column]) -> list[str]:
    """The names of the fields as they are declared. Raises DataError when none of them is."""
    exact = {each.name for each in columns}
    similar = {each.name.casefold(): each.name for each in columns}
    names = [name if name in exact else similar.get(name.casefold(), name) for name in _names(fields)]
    if columns and not set(names) & exact:
        raise refused(
            found,
            "columns_differ",
            f"has the columns {', '.join(names[:5])}, and none of the stream's is among them",
        )
    return names
