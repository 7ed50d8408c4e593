"""Rows of runs and steps from SQL of our own: what every step costs is counted in round trips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import JSONField, Model

from apps.pipelines.models import Run, StepRun

Row = TypeVar("Row", bound=Model)


def fetch(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Execute a statement of our own on Django's connection: the server plans it once, not with every step.

    Integers whose size differs from one time to the next want a fixed type, or each size is planned for itself.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, values, prepare=True).fetchall()


def columns(model: type[Model], alias: str) -> str:
    """Every column of a table in the order of the model's fields, for a SELECT or RETURNING list."""
    return ", ".join(f'{alias}."{field.column}"' for field in model._meta.concrete_fields)


def instance(model: type[Row], values: Sequence[Any]) -> Row:
    """The model of a row that was read with `columns`."""
    fields = model._meta.concrete_fields
    decoded = [
        json.loads(value) if isinstance(field, JSONField) and isinstance(value, str) else value
        for field, value in zip(fields, values, strict=True)
    ]
    return model.from_db(DEFAULT_DB_ALIAS, [field.attname for field in fields], decoded)


RUN = columns(Run, "r")
STEP = columns(StepRun, "s")
STEP_WIDTH = len(StepRun._meta.concrete_fields)


def step_and_run(row: Sequence[Any]) -> tuple[StepRun, Run]:
    """Both rows of a list `{STEP}, {RUN}`; the step knows its run."""
    step, run = instance(StepRun, row[:STEP_WIDTH]), instance(Run, row[STEP_WIDTH:])
    step.run = run
    return step, run
