"""`manifold sql` and `manifold queries`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cluster import ROOT
from tests.served import Served

pytestmark = pytest.mark.django_db
ENDLESS = "SELECT count(*) FROM range(1000000000000) WHERE range % 7 = 8"


def test_it_is_answered_in_aligned_columns(served: Served) -> None:
    query = "SELECT customer, id * 100 AS n, NULL AS nothing FROM orders ORDER BY id"
    result = served.manifold("sql", query)
    assert result.stdout.splitlines() == ["customer    n  nothing", "ann       100        –", "ben       200        –"]
    assert result.stderr.startswith("2 rows in ")
    answer = served.json("sql", query)
    assert answer["rows"] == [["ann", 100, None], ["ben", 200, None]]
    assert {"columns", "rows", "row_count", "truncated", "seconds", "bytes_scanned", "id"} < set(answer)
    assert served.manifold("sql", "SELECT * FROM orders WHERE id < 0").stdout == "No rows.\n"
    assert served.json("sql", 'SELECT count(*) FROM "orders@1"')["rows"] == [[2]]
    cut = served.manifold("sql", query, "--limit", "1")
    assert "1 row in" in cut.stderr and "there are more" in cut.stderr and "Only the first 1 rows" in cut.stderr


def test_parameters_and_saved_queries(served: Served) -> None:
    words = ["sql", "SELECT customer FROM orders WHERE id = $id AND customer <> $not"]
    assert served.json(*words, "--param", "id:integer=2", "--param", "not=a=b")["rows"] == [["ben"]]
    text = "SELECT id FROM orders WHERE amount > $least ORDER BY id"
    saved = served.json("queries", "save", "Dear orders", text, "--param", "least:number=10", who="operator")
    assert served.json("queries", "saved")["results"] == served.client().in_project("GET", "saved-queries/")["results"]
    assert saved["slug"] in served.manifold("queries", "saved").stdout
    assert served.json("sql", "--saved", "dear-orders")["rows"] == [[1]]
    assert served.json("sql", "--saved", "dear-orders", "--param", "least=5")["rows"] == [[1], [2]]
    assert "it is" not in served.manifold("queries", "forget", "dear-orders").stderr
    assert served.manifold("sql", "--saved", "dear-orders").exit_code == 2


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_the_whole_answer_becomes_a_file(served: Served, tmp_path: Path, form: str) -> None:
    file = tmp_path / "answer"
    query = "SELECT i, '=1' AS word FROM range(3000) r(i)"
    result = served.manifold("sql", query, "--format", form, "-o", str(file))
    assert (result.exit_code, result.stdout.startswith(str(file))) == (0, True)
    if form == "parquet":
        assert pq.read_table(file).num_rows == 3000
        return
    printed = served.manifold("sql", query, "--format", form).stdout
    assert printed == file.read_text()
    if form == "csv":
        assert printed.splitlines()[:2] == ["i,word", "0,'=1"] and len(printed.splitlines()) == 3001
    else:
        assert json.loads(printed)[2999] == {"i": 2999, "word": "=1"}


def test_the_history(served: Served) -> None:
    served.manifold("sql", "SELECT 'history' AS here", who="operator")
    listed = served.json("queries", "list", "--user", "olga", "--limit", "1")
    assert listed["results"][0]["sql"] == "SELECT 'history' AS here"
    shown = served.manifold("queries", "list", "--state", "succeeded").stdout
    assert "olga" in shown and "SELECT 'history'" in shown


def test_ctrl_c_stops_the_query_where_it_runs(served: Served) -> None:
    line = [sys.executable, "-m", "manifold", "sql", ENDLESS]
    # Tests that are run in the background are deaf to Ctrl-C, and so would be what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = subprocess.Popen(
        line, cwd=ROOT, env={**os.environ, **served.environment("operator")}, stderr=subprocess.PIPE, text=True
    )
    client = served.client()
    try:
        while not (running := client.page("queries/", 5, state="running", user="olga")["results"]):
            assert command.poll() is None
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=120)
    finally:
        command.kill()
    assert (command.returncode, said) == (1, "manifold: the query was stopped.\n")
    while (ended := client.in_project("GET", f"queries/{running[0]['id']}/"))["state"] == "running":
        pass
    assert (ended["state"], ended["cancelled_by"]) == ("cancelled", "olga/key")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["sql", "SELEC 1"], 2, "manifold: "),
        (["sql", "SELECT * FROM nothing"], 2, "nothing"),
        (["sql", "SELECT * FROM read_csv('/etc/passwd')"], 2, "read_csv"),
        (["sql", "SELECT * FROM '/etc/passwd'"], 2, "/etc/passwd"),
        (["sql", "COPY orders TO '/tmp/x'"], 2, "manifold: "),
        (["sql", "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x"], 2, "manifold: "),
        (["sql", ""], 2, "sql"),
        (["sql"], 2, "either its text or --saved"),
        (["sql", "SELECT 1", "--saved", "x"], 2, "either"),
        (["sql", "SELECT $a"], 2, "It needs a value"),
        (["sql", "SELECT $a", "--param", "a:date=soon"], 2, "2026-01-31"),
        (["sql", "SELECT $a", "--param", "a:thing=1"], 2, "TYPE one of"),
        (["sql", "SELECT 1", "--format", "csv", "--json"], 2, "--format"),
        (["sql", "SELECT 1", "-o", "x"], 2, "-o needs"),
        (["sql", "SELECT 1", "--format", "parquet"], 2, "name a file"),
        (["queries", "cancel", "00000000-0000-7000-8000-000000000000"], 2, "There is no query"),
        (["queries", "forget", "nothing"], 2, "There is no saved query"),
    ],
)
def test_wrong_words(served: Served, words: list[str], code: int, said: str) -> None:
    result = served.manifold(*words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output
    assert "root:" not in result.output
