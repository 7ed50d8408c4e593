"""What is declared of an API of GraphQL: its address, its queries, and where their answers hold records and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said
from dataplane.connectors.graphql.queries import Operation, operations
from dataplane.connectors.rest.params import (
    SINCE_FORMATS,
    Access,
    Address,
    Line,
    Path,
    Session,
    SinceFormat,
    differing,
    first_said,
)

Records = Annotated[str, StringConstraints(pattern=r'^[^\s"*\[\]]+(\[\]\.[^\s"*\[\]]+)?$')]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Asking(Stated):
    """How a stream is asked for; a source says it for all its streams, and the line of a stream otherwise."""

    records: Records | None = Field(
        None,
        title="Path of the records",
        description="Where they stand in an answer, such as data.orders.nodes or data.orders.edges[].node.",
        examples=["data.orders.nodes"],
        json_schema_extra=said("Reading"),
    )
    page_info: Path | None = Field(
        None,
        title="Path of pageInfo",
        description="Where an answer holds endCursor and hasNextPage. Empty: pageInfo beside the records.",
        json_schema_extra=said("Paging"),
    )
    cursor_variable: Variable = Field(
        "cursor",
        title="Variable of the page",
        description="A query that declares it is asked for page by page.",
        json_schema_extra=said("Paging"),
    )
    since_variable: Variable = Field(
        "since",
        title="Variable of an incremental read",
        description="A query that declares it is asked for records from a cursor's value on, others for everything.",
        json_schema_extra=said("Reading"),
    )
    since_format: SinceFormat = Field(
        "iso",
        title="Its values are written as",
        description="For cursors that are times; others are written as they are.",
        json_schema_extra=said("Reading", labels=SINCE_FORMATS),
    )
    key: str | None = Field(
        None,
        title="Key",
        description="The columns that tell a record, with + between them.",
        json_schema_extra=said("Reading"),
    )


class Query(Asking):
    """One stream: a query that is asked by its name."""

    name: str
    operation: Operation

    @model_validator(mode="after")
    def _found(self) -> Self:
        if not self.records:
            raise ValueError("Say where its records stand in an answer, such as records=data.orders.nodes")
        return self

    @property
    def title(self) -> str:
        return self.name

    @property
    def paged(self) -> bool:
        return self.cursor_variable in self.operation.variables

    @property
    def pages_at(self) -> str:
        """Where an answer tells of its pages."""
        beside = str(self.records).partition("[]")[0].rpartition(".")[0]
        return self.page_info or (f"{beside}.pageInfo" if beside else "pageInfo")

    @property
    def next_path(self) -> str:
        return f"{self.pages_at}.endCursor"

    @property
    def more_path(self) -> str:
        return f"{self.pages_at}.hasNextPage"


class Queries(Stated):
    """What is read of it."""

    queries: str = Field(
        min_length=1,
        max_length=100_000,
        title="Queries",
        description="Each with a name, which is its stream's: query orders($cursor: String) { orders(first: 100, "
        "after: $cursor) { nodes { id } pageInfo { endCursor hasNextPage } } }",
        json_schema_extra={"multiline": True},
    )
    streams: tuple[Line, ...] = Field(
        (),
        max_length=200,
        title="Streams",
        description="What a query says otherwise than the fields below, one a line: its name and what differs, such "
        "as orders records=data.orders.nodes key=id",
    )

    @field_validator("queries")
    @classmethod
    def _queries(cls, value: str) -> str:
        operations(value)
        return value


class GraphQLParams(Session, Asking, Access, Queries, Address):
    """The parameters of a source. A form shows the fields of the last base first."""

    base_url: Line = Field(
        title="Address",
        description="Where queries are sent to, such as https://api.example.org/graphql",
        examples=["https://api.example.org/graphql"],
    )
    # An answer tells of its records and of its pages: to look for both takes more memory than for records alone.
    largest_mb: int = Field(10, ge=1, le=10, title="Largest answer, in MB", json_schema_extra=said("Limits"))

    @model_validator(mode="after")
    def _declared(self) -> Self:
        self.declared()
        return self

    def declared(self) -> dict[str, Query]:
        """The streams by name. Raises ValueError for a line that is none."""
        found = operations(self.queries)
        lines: dict[str, dict[str, Any]] = {}
        for line in self.streams:
            name, *words = line.split()
            if name not in found:
                raise ValueError(f"There is no query {name} in *Queries*. Name one of {', '.join(found)}.")
            if name in lines:
                raise ValueError(f"Two lines are of {name}. Put them into one.")
            lines[name] = differing(name, words, Asking.model_fields)
        shared = {name: getattr(self, name) for name in Asking.model_fields}
        return {name: _query(each, shared, lines.get(name, {})) for name, each in found.items()}


def _query(operation: Operation, shared: Mapping[str, Any], told: Mapping[str, Any]) -> Query:
    for field in ("cursor_variable", "since_variable"):
        if told.get(field) and told[field] not in operation.variables:
            raise ValueError(
                f"{operation.name} declares no variable ${told[field]}. Write query {operation.name}(${told[field]}: "
                "String) and use it, or leave it out of the line."
            )
    try:
        return Query.model_validate({**shared, **told, "name": operation.name, "operation": operation})
    except ValidationError as error:
        raise first_said(operation.name, error) from None
