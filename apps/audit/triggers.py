"""The triggers behind the audit log and behind rows that may no longer change.

They live in the database, so a bulk update, a shell session and another program are recorded and refused like everybody
else. django-pgtrigger installs them by migration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pgtrigger
from django.apps import apps
from django.db import models
from pgtrigger import compiler

from apps.audit.context import SETTING

# Names that usually say what a row is called, the best one first.
_NAMES = ("slug", "username", "title", "name")


class FirmSql(compiler.UpsertTriggerSql):
    """A trigger without pgtrigger's escape: `SET pgtrigger.ignore` does not switch it off.

    Nor does a temporary table of the name of ours lead its writes astray: temporary tables are looked up last.
    """

    def get_template(self) -> str:
        return """
            CREATE OR REPLACE FUNCTION {pgid}()
            RETURNS TRIGGER AS $$
                {declare}
                BEGIN
                    {func}
                END;
            $$ LANGUAGE plpgsql SET search_path = public, pg_temp;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE {constraint} TRIGGER {pgid}
                {when} {operation} ON {table}
                {timing}
                {referencing}
                FOR EACH {level} {condition}
                EXECUTE FUNCTION {execute};

            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


class FirmTrigger(pgtrigger.Trigger):
    """Base of our triggers."""

    def compile(self, model: Any) -> compiler.Trigger:
        kwargs = super().compile(model).sql.kwargs
        return compiler.Trigger(
            name=self.name, sql=FirmSql(**{key: value for key, value in kwargs.items() if key != "ignore_func_name"})
        )


class Audited(FirmTrigger):
    """Writes an event for every row that is inserted, updated or deleted. Made by `audited()`."""

    when = pgtrigger.After
    operation = pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete
    declare = [("_old", "jsonb"), ("_new", "jsonb"), ("_row", "jsonb"), ("_before", "jsonb"), ("_after", "jsonb")]

    def __init__(
        self,
        *,
        kind: str,
        project: str | None,
        name: Sequence[str],
        secret: Sequence[str],
        skip: Sequence[str],
        only: Sequence[str],
    ) -> None:
        super().__init__(name="audited")
        self.kind, self.project, self.called = kind, project, name
        self.secret, self.skip, self.only = secret, skip, only

    def get_func(self, model: Any) -> str:
        # Migrations bring a bare copy of the model, which knows no `project_path`.
        model = apps.get_model(model._meta.label)
        kind = self.kind or str(model._meta.model_name)
        path = self.project if self.project is not None else getattr(model, "project_path", "project_id")
        considered = (
            f"key = ANY({_array(_columns(model, self.only))})"
            if self.only
            else f"key <> ALL({_array(['id', *_columns(model, self.skip)])})"
        )
        secret = _array(_columns(model, self.secret))
        return f"""
            IF TG_OP <> 'INSERT' THEN _old := to_jsonb(OLD); END IF;
            IF TG_OP <> 'DELETE' THEN _new := to_jsonb(NEW); END IF;
            _row := coalesce(_new, _old);
            SELECT jsonb_object_agg(key, value) INTO _before FROM jsonb_each(_old)
                WHERE {considered} AND key <> ALL({secret}) AND (_new IS NULL OR _new -> key IS DISTINCT FROM value);
            SELECT jsonb_object_agg(key, CASE WHEN key = ANY({secret}) THEN '"changed"'::jsonb ELSE value END)
                INTO _after FROM jsonb_each(_new)
                WHERE {considered} AND (_old IS NULL OR _old -> key IS DISTINCT FROM value);
            IF TG_OP = 'UPDATE' AND _before IS NULL AND _after IS NULL THEN RETURN NULL; END IF;
            INSERT INTO audit_event (cluster, project, actor_kind, actor_name, request_id, verb, object_type, object_id,
                                     object_name, before, after, data)
            VALUES ('', {_reached(model, path) if path else "NULL"}, '', '', '',
                    '{kind} ' ||
                    CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'changed' ELSE 'deleted' END,
                    '{kind}', _row ->> 'id', left({_called(model, self.called)}, 300), _before, _after, '{{}}');
            RETURN NULL;
        """


def audited(
    *,
    kind: str = "",
    project: str | None = None,
    name: Sequence[str] = (),
    secret: Sequence[str] = (),
    skip: Sequence[str] = (),
    only: Sequence[str] = (),
) -> list[pgtrigger.Trigger]:
    """The trigger that makes the audit log the record of a configuration table; nothing else writes its events.

    `kind` is the object's type in the log (the model's name); `project` and `name` are field paths to the project's id
    (the model's `project_path`; "" for none) and to what the row is called; `secret` fields appear as "changed" and
    never with a value; an update that touches nothing but `skip`, or nothing of `only`, leaves no event.
    """
    return [Audited(kind=kind, project=project, name=name, secret=secret, skip=skip, only=only)]


def stamped() -> list[pgtrigger.Trigger]:
    """Events get their time, transaction, cluster and, where the writer named none, their actor from the database."""
    return [
        FirmTrigger(
            name="stamped",
            when=pgtrigger.Before,
            operation=pgtrigger.Insert,
            declare=[("_actor", "jsonb")],
            func=f"""
                NEW.at := clock_timestamp();
                NEW.transaction_at := now();
                NEW.xid := pg_current_xact_id()::text::numeric;
                NEW.cluster := (SELECT system_identifier::text FROM pg_control_system());
                _actor := nullif(current_setting('{SETTING}', true), '')::jsonb;
                IF NEW.request_id = '' THEN NEW.request_id := coalesce(_actor ->> 'request', ''); END IF;
                IF NEW.actor_kind = '' THEN
                    NEW.actor_kind := coalesce(_actor ->> 'kind', 'database');
                    NEW.actor_id := (_actor ->> 'id')::uuid;
                    NEW.actor_name := coalesce(_actor ->> 'name', 'database:' || session_user);
                END IF;
                RETURN NEW;
            """,
        )
    ]


def append_only() -> list[pgtrigger.Trigger]:
    """Rows may be added and read, nothing else, not even by an UPDATE that would find no row."""
    return [
        FirmTrigger(
            name="append_only",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Truncate,
            func="""
                RAISE EXCEPTION '% is append-only: % is refused.', TG_TABLE_NAME, TG_OP
                    USING ERRCODE = 'integrity_constraint_violation',
                          HINT = 'What is recorded stays. A correction is a new event.';
            """,
        )
    ]


def frozen_when(states: Sequence[str], fields: Sequence[str], *, state: str = "state") -> list[pgtrigger.Trigger]:
    """A row whose `state` is one of `states` keeps its `fields` for ever; others may still change."""
    return [Frozen(states=states, fields=fields, state=state)]


class Frozen(FirmTrigger):
    """Made by `frozen_when()`."""

    when = pgtrigger.Before
    operation = pgtrigger.Update

    def __init__(self, *, states: Sequence[str], fields: Sequence[str], state: str) -> None:
        super().__init__(name="frozen")
        self.states, self.fields, self.state = states, fields, state

    def get_func(self, model: Any) -> str:
        (state,) = _columns(model, [self.state])
        columns = _columns(model, self.fields)
        old, new = (", ".join(f'{side}."{each}"' for each in columns) for side in ("OLD", "NEW"))
        return f"""
            IF OLD."{state}" = ANY({_array(self.states)}) AND ROW({old}) IS DISTINCT FROM ROW({new}) THEN
                RAISE EXCEPTION '{model._meta.model_name} % is over (%): its {", ".join(columns)} cannot change.',
                    OLD.id, OLD."{state}" USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NEW;
        """


def _columns(model: type[models.Model], fields: Sequence[str]) -> list[str]:
    return [str(_field(model, each).column) for each in fields]


def _field(model: type[models.Model], name: str) -> Any:
    """A field by its name, or by its column as `project_id`. Raises FieldDoesNotExist for a misspelt one."""
    by_column = {each.column: each for each in model._meta.concrete_fields}
    return by_column.get(name) or model._meta.get_field(name)


def _reached(model: type[models.Model], path: str, as_type: str = "uuid") -> str:
    """SQL for the value at the end of `source__project_id`, starting from the row in `_row`."""
    first, *rest = path.split("__")
    field = _field(model, first)
    if not rest:
        return f"(_row ->> '{field.column}')::{as_type}"
    related = field.related_model
    joins, previous = "", "t0"
    for position, part in enumerate(rest[:-1], start=1):
        step = _field(related, part)
        related = step.related_model
        joins += f' JOIN "{related._meta.db_table}" t{position} ON t{position}.id = {previous}."{step.column}"'
        previous = f"t{position}"
    last = _field(related, rest[-1])
    return (
        f'(SELECT {previous}."{last.column}"::{as_type} FROM "{field.related_model._meta.db_table}" t0{joins}'
        f" WHERE t0.id = (_row ->> '{field.column}')::uuid)"
    )


def _called(model: type[models.Model], paths: Sequence[str]) -> str:
    if not paths:
        own = {each.name for each in model._meta.concrete_fields}
        paths = [next(each for each in _NAMES if each in own)]
    parts = ", ".join(_reached(model, each, "text") for each in paths)
    return f"coalesce(concat_ws('@', {parts}), '')"


def _array(values: Sequence[str]) -> str:
    return "ARRAY[" + ", ".join(f"'{each}'" for each in values) + "]::text[]"
