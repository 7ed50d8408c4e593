"""A program that reads the tables of an SQLite file for `own_process`. Nothing of Manifold is imported here.

It is asked one thing, a line of JSON on its standard input, and answers on its standard output with lines of JSON. Rows
stand between two of them, as a stream of Arrow. It ends when its standard input does: whoever has asked is gone then.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 5_000
PATIENCE = 60
TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE", "TEXT": "VARCHAR"}
IN_ARROW = {"INTEGER": "int64", "REAL": "float64", "TEXT": "string"}


class Refusal(Exception):
    """What is told as an error, in the shape that `ManifoldError.as_json` has."""

    def __init__(self, kind: str, code: str, message: str, **evidence: Any) -> None:
        super().__init__(message)
        self.error = {"class": kind, "code": code, "message": message, "evidence": evidence, "suggestions": []}


def main() -> None:
    asked = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=until_left, daemon=True).start()
    try:
        {"test": test, "discover": discover, "plan": plan, "read": read}[asked["do"]](asked)
    except Refusal as refusal:
        say(error=refusal.error)
    else:
        say(done=True)


def until_left() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def say(**answer: Any) -> None:
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.flush()


def test(asked: dict[str, Any]) -> None:
    try:
        opened(asked)
    except Refusal as refusal:
        say(stage={"name": "open", "ok": False, "seconds": 0.0, "detail": str(refusal), "error": refusal.error})
    else:
        say(stage={"name": "open", "ok": True, "seconds": 0.0, "detail": "The file is open."})


def discover(asked: dict[str, Any]) -> None:
    database = opened(asked)
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name <> 'door' ORDER BY name")]
    for name in names:
        say(stream={"name": name, "columns": columns(database, name), "primary_key": ["id"]})


def plan(asked: dict[str, Any]) -> None:
    stream, (newest,) = asked["stream"]["name"], row(opened(asked), f"SELECT max(id) FROM {asked['stream']['name']}")
    if asked["mode"] == "full_refresh":
        say(planned={"window": {"kind": "full"}, "reason": f"All of {stream} is read."})
        return
    known = next((each["upper"] for each in asked["mark"]["spans"]), state(0))
    if known == state(newest or 0):
        say(planned={"window": None, "reason": f"{stream} has nothing new."})
        return
    span = {"partition": "", "lower": known, "upper": state(newest)}
    say(planned={"window": {"kind": "offsets", "spans": [span]}, "reason": f"{stream} has new rows."})


def read(asked: dict[str, Any]) -> None:
    import pyarrow as pa

    database, stream, window = opened(asked), asked["stream"], asked["window"]
    declared = {each["name"]: each for each in stream["columns"] or columns(database, stream["name"])}
    chosen = [declared[name] for name in stream["select"] or declared]
    say(columns=chosen)
    schema = pa.schema([(each["name"], IN_ARROW[each["native"]]) for each in chosen])
    count = 0
    with pa.ipc.new_stream(sys.stdout.buffer, schema) as writer:
        for batch in batches(database, stream, window, schema):
            writer.write_batch(batch)
            sys.stdout.buffer.flush()
            count += batch.num_rows
    if window["kind"] == "offsets":
        say(settled={**window, "messages": count})


def batches(
    database: sqlite3.Connection, stream: dict[str, Any], window: dict[str, Any], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    (span,) = window.get("spans") or [{"lower": state(0), "upper": state(1 << 62)}]
    bounds = [json.loads(span[each])["id"] for each in ("lower", "upper")]
    found = database.execute(
        f"SELECT {', '.join(schema.names)} FROM {stream['name']} WHERE id > ? AND id <= ? "
        f"AND ({stream['row_filter'] or 'true'}) ORDER BY id",
        bounds,
    )
    while rows := found.fetchmany(BATCH_ROWS):
        try:
            values = zip(*rows, strict=True)
            yield pa.record_batch([pa.array(*each) for each in zip(values, schema.types, strict=True)], schema)
        except pa.ArrowException as error:
            raise Refusal("data", "value", f"{stream['name']} has a value that does not fit: {error}") from error


def state(newest: int) -> str:
    """How far it has come, as nobody but this program understands it."""
    return json.dumps({"id": newest})


def opened(asked: dict[str, Any]) -> sqlite3.Connection:
    params = asked["params"]
    try:
        database = sqlite3.connect(f"file:{params['path']}?mode=ro", uri=True, timeout=PATIENCE)
        (password,) = row(database, "SELECT password FROM door")
    except sqlite3.Error as error:
        raise Refusal("configuration", "path_missing", f"{params['path']}: {error}.", path=params["path"]) from error
    if password != params["password"]:
        raise Refusal("configuration", "authentication", "The password is wrong. Correct it in the source.")
    return database


def columns(database: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    found = database.execute("SELECT name, type FROM pragma_table_info(?)", [table])
    return [{"name": name, "type": TYPES[native], "native": native} for name, native in found]


def row(database: sqlite3.Connection, query: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = database.execute(query).fetchone()
    return found


if __name__ == "__main__":
    main()
