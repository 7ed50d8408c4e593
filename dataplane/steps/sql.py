"""The sql step: one SELECT over its inputs, each a table of the name that the step gives it."""

from __future__ import annotations

from typing import Annotated, Any

import duckdb
from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from dataplane import statements, syntax
from dataplane.engine import write_parquet
from dataplane.errors import ConfigurationError, DataError
from dataplane.relations import identifier, relation_sql
from dataplane.steps.base import ColumnType, DatasetInput, Spec, StepContext, StepKind, StepResult, Table
from dataplane.steps.operating import operating
from dataplane.types import stored

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]


class SqlSpec(Spec):
    """Inputs by the name they have in the query, and the query: one SELECT."""

    inputs: Annotated[dict[Name, Annotated[str, StringConstraints(min_length=1)] | DatasetInput], Field(min_length=1)]
    query: str

    @field_validator("inputs")
    @classmethod
    def _told_apart(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len({each.lower() for each in value}) < len(value):
            raise ValueError("Two inputs differ only in capital letters. SQL does not tell them apart; rename one.")
        return value

    @field_validator("query")
    @classmethod
    def _one_select(cls, value: str, info: ValidationInfo) -> str:
        if "inputs" not in info.data:
            return value
        try:
            return statements.check_select(value, info.data["inputs"])
        except syntax.StatementError as error:
            raise ValueError(error.message) from None


class SqlStep(StepKind):
    """Runs the query in an operator instance and stages its rows, in the order in which the query gives them."""

    kind = "sql"
    Spec = SqlSpec

    @classmethod
    def inputs(cls, spec: Any) -> dict[str, Any]:
        return dict(spec.inputs)

    @classmethod
    def run(cls, context: StepContext, spec: Any) -> StepResult:
        query = statements.check_select(spec.query, context.inputs)
        with operating(context) as (connection, share):
            share.next(1.0)
            return _queried(connection, context, query)


def _queried(connection: duckdb.DuckDBPyConnection, context: StepContext, query: str) -> StepResult:
    for name, table in context.inputs.items():
        relation = relation_sql(table, context.storage)
        connection.execute(f"CREATE TEMP VIEW {identifier(name)} AS {relation}")
    place = f"steps.{context.key}.sql.query"
    columns = _columns(connection, query, place)
    items = ", ".join(f"CAST({identifier(each.name)} AS {each.type}) AS {identifier(each.name)}" for each in columns)
    rows_in = sum(each.rows for each in context.inputs.values())
    context.progress.rows = rows_in
    try:
        files = write_parquet(
            connection, f"SELECT {items} FROM (\n{query}\n)", storage=context.storage, folder=context.output
        )
    except DataError as error:
        said = f"{place}: {error.message.rstrip('.')}. Use TRY_CAST where a value may not fit."
        raise DataError(said, code=error.code, evidence=error.evidence) from error
    return StepResult(table=Table(columns, files), rows_in=rows_in)


def _columns(connection: duckdb.DuckDBPyConnection, query: str, place: str) -> tuple[ColumnType, ...]:
    """The columns of the query as they will be kept. Raises ConfigurationError with the place in the query."""
    try:
        described = connection.execute(f"DESCRIBE (\n{query}\n)").fetchall()
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        found = statements.fault(str(error), query, before_lines=1)
        raise ConfigurationError(f"{place}: {found.message}", code=found.code, evidence=found.evidence) from error
    names = [str(row[0]).lower() for row in described]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise ConfigurationError(
            f"{place}: the query gives two columns named `{twice[0]}`. Name one of them with AS, or leave it out with "
            "EXCLUDE or USING.",
            code="column_twice",
            evidence={"columns": twice},
        )
    return tuple(ColumnType(str(row[0]), stored(str(row[1]))) for row in described)
