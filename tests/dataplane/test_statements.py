"""The walk over operators' SQL: what it lets through, what it refuses, and where it says the fault is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from dataplane import functions
from dataplane.engine import operator_instance
from dataplane.statements import check_expression, check_select, fault, named_in
from dataplane.syntax import MAX_LENGTH, StatementError, pattern_fault
from tests.dataplane.hostile import HOSTILE
from tests.dataplane.tables import Staging

GOOD = [
    "SELECT x FROM t",
    "FROM t",
    "TABLE t",
    "VALUES (1), (2)",
    "select T.x from T",
    "SELECT * FROM t AS a JOIN u AS b USING (x) LEFT JOIN t AS c ON c.x = a.x",
    "SELECT * EXCLUDE (x) REPLACE (y + 1 AS y), count(*) OVER (PARTITION BY y ORDER BY x) AS n FROM t",
    "SELECT COLUMNS('x.*') FROM t",
    "WITH a AS (SELECT x FROM t), b AS (SELECT * FROM a) SELECT * FROM b, (WITH c AS (SELECT 1) SELECT * FROM c)",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT * FROM r",
    "WITH a AS MATERIALIZED (SELECT 1 AS x) SELECT * FROM a",
    "SELECT x, count(*) FILTER (WHERE x > 1) FROM t GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 3 OFFSET 1",
    "SELECT x FROM t GROUP BY ROLLUP (x) QUALIFY row_number() OVER () = 1",
    "SELECT * FROM t UNION BY NAME SELECT * FROM u",
    "SELECT * FROM t EXCEPT SELECT * FROM u",
    "PIVOT t ON x IN (1, 2) USING sum(y) GROUP BY z",
    "SELECT * FROM t UNPIVOT (v FOR n IN (x, y))",
    "SELECT list_transform([1, 2], lambda n: n + 1), [n * 2 FOR n IN [1, 2] IF n > 1], {'a': 1}.a, MAP {'k': 1}['k']",
    "SELECT x::DATE + INTERVAL 1 MONTH, extract(year FROM d), d AT TIME ZONE 'UTC', now(), current_date FROM t",
    "SELECT try_cast(x AS DECIMAL(10, 2)), j ->> '$.a', x ILIKE 'a%', x SIMILAR TO 'b', x IS DISTINCT FROM y FROM t",
    "SELECT DISTINCT ON (x) x, y FROM t TABLESAMPLE 10%",
    "SELECT * FROM t ASOF JOIN u USING (x)",
    "SELECT * FROM range(3), unnest([1, 2]) AS n, generate_series(1, 2)",
    "SELECT random(), uuid() FROM t",
    "SELECT x FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.x = t.x) AND x > ANY (SELECT x FROM u)",
    "SELECT coalesce(x, y), ifnull(x, 1), if(x > 1, 2, 3), nullif(x, y), greatest(x, y), x::VARCHAR || 'é' FROM t",
    "SELECT x -- the end",
    "SELECT 1;",
    'SELECT "ünïcode" FROM t',
]


@pytest.mark.parametrize("statement", GOOD)
def test_a_select_over_the_inputs_is_let_through(statement: str) -> None:
    assert check_select(statement, ["t", "u"]) == statement.removesuffix(";")


@pytest.mark.parametrize("statement", HOSTILE)
def test_hostile_statements_are_refused_by_the_walk(statement: str) -> None:
    with pytest.raises(StatementError) as caught:
        check_select(statement.format(secret="/etc/passwd", target="/tmp/stolen"), ["t"])
    assert caught.value.message.count(". ") >= 1, "an error says what and what to do"


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    file.write_text("canary-7f3a\n")
    return file


def test_hostile_statements_do_nothing_even_when_they_reach_an_instance(tmp_path: Path, secret: Path) -> None:
    """The second wall: the same list, run in an operator instance without having been walked."""
    staging = Staging(tmp_path)
    inputs = [staging.storage.absolute(each.path) for each in staging.table("SELECT 1 AS x").files]
    target = tmp_path / "stolen"
    before = {each for each in tmp_path.rglob("*") if each.is_file()}
    for statement in HOSTILE:
        text = statement.format(secret=secret, target=target)
        with operator_instance(
            inputs, str(tmp_path / "out"), spill=str(tmp_path / "spill"), memory=1 << 28, threads=1
        ) as connection:
            connection.execute(f"CREATE TEMP VIEW t AS SELECT * FROM read_parquet('{inputs[0]}')")
            try:
                shown = repr(connection.execute(text).fetchall())
            except duckdb.Error as error:
                shown = str(error)
            assert "canary-7f3a" not in shown, statement
            assert "root:" not in shown, statement
            with pytest.raises(duckdb.Error):
                connection.execute(f"SELECT * FROM read_text('{secret}')")
    assert {each for each in tmp_path.rglob("*") if each.is_file()} == before


@pytest.mark.parametrize(
    ("statement", "line", "column"),
    [
        ("SELECT * FROM nowhere", 1, 15),
        ("SELECT 1,\n  getvariable('x')", 2, 3),
        ("SELECT 'ééé',\n 'ü', read_text('x')", 2, 7),
        ("SELECT x\nFROM t\nWHERE x >< 1", 3, 9),
        ("SELECT 'é' frm frm frm", 1, 16),
    ],
)
def test_the_place_of_a_fault(statement: str, line: int, column: int) -> None:
    with pytest.raises(StatementError) as caught:
        check_select(statement, ["t"])
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.message.startswith(f"Line {line}, column {column}: ")


def test_a_with_name_is_known_only_where_it_is_in_scope() -> None:
    with pytest.raises(StatementError, match="There is no table `b`"):
        check_select("SELECT * FROM (WITH b AS (SELECT 1) SELECT * FROM b), b", ["t"])
    with pytest.raises(StatementError, match="There is no table `later`"):
        check_select("WITH a AS (SELECT * FROM later), later AS (SELECT 1) SELECT * FROM a", [])


def test_a_parameter_stands_only_where_it_has_a_value() -> None:
    text = "SELECT x FROM t WHERE x = $since LIMIT $n"
    assert check_select(text, ["t"], ["since", "n"]) == text
    with pytest.raises(StatementError, match=r"`\$n` has no value"):
        check_select(text, ["t"], ["since"])
    with pytest.raises(StatementError, match="has no value here"):
        check_select(text, ["t"])
    with pytest.raises(StatementError, match="no value"):
        check_select("SELECT ? FROM t", ["t"], ["since"])
    with pytest.raises(StatementError):
        check_select("SELECT * FROM (SELECT * FROM read_text($since)), u", ["t"], ["since"])


def test_what_a_statement_names() -> None:
    text = 'WITH a AS (SELECT * FROM "Orders@2") SELECT *, (SELECT $n) FROM a, b WHERE x IN (SELECT y FROM c) LIMIT $m'
    found = named_in(text)
    assert found.tables == {"a", "orders@2", "b", "c"}
    assert found.parameters == {"n", "m"}


def test_what_is_too_long_or_too_deep_is_refused() -> None:
    with pytest.raises(StatementError, match="longer than"):
        check_select("SELECT 1" + " " * MAX_LENGTH + ", 2", [])
    with pytest.raises(StatementError, match=r"nested too deeply|depth"):
        check_select("SELECT " + "+".join("1" * 5000), [])


@pytest.mark.parametrize("text", ["", "  \n", "-- nothing", "SELECT", "SELECT 1 SELECT 2", "SELECT 1; -- more"])
def test_what_is_no_statement_is_refused(text: str) -> None:
    with pytest.raises(StatementError):
        check_select(text, [])


@pytest.mark.parametrize(
    "text",
    [
        "dep_time IS NULL OR arr_time IS NOT NULL",
        "a > 1 -- really",
        "a /* b */ = 'it''s'",
        "a BETWEEN 1 AND 2 AND regexp_matches(b, '^x')",
        "list_contains([1, 2], a)",
        "CASE WHEN a THEN b ELSE c END",
    ],
)
def test_an_expression_is_let_through(text: str) -> None:
    check_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a, b",
        "a AS b",
        "*",
        "a FROM t",
        "a > 1; DROP TABLE t",
        "a > 1;",
        "1) FROM t; --",
        "1) OR (1",
        "true LIMIT 1",
        "a GROUP BY 1",
        "DISTINCT a",
        "a UNION SELECT 1",
        "(SELECT count(*) FROM t) > 1",
        "EXISTS (SELECT 1 FROM read_csv('x'))",
        "random() > 0.5",
        "uuid() IS NOT NULL",
        "getvariable('x') = 1",
        "a > $1",
        "a /* open",
    ],
)
def test_anything_but_one_expression_is_refused(text: str) -> None:
    with pytest.raises(StatementError):
        check_expression(text)


def test_every_allowed_function_is_known_and_none_reaches_out() -> None:
    """The list holds no name that DuckDB would look for elsewhere, and none of those that read, sleep or remember."""
    with duckdb.connect() as connection:
        known = {row[0] for row in connection.execute("SELECT lower(function_name) FROM duckdb_functions()").fetchall()}
    written = {"grouping", "if", "ifnull", "unnest", "current_time", "current_timestamp", "localtime", "localtimestamp"}
    written |= {"overlay", "nullif"}
    assert not functions.PLAIN - known - written
    outward = ("read_", "scan", "glob", "sniff", "duckdb_", "pragma_", "query", "secret", "getenv", "setting", "sleep")
    every = functions.PLAIN | functions.TABLE | functions.VOLATILE
    assert not [each for each in every if any(word in each for word in outward)]


def test_the_documentation_lists_every_function() -> None:
    written = set(re.findall(r"`(\w+)`", (Path(__file__).parents[2] / "docs" / "sql.md").read_text()))
    assert written >= functions.PLAIN | functions.TABLE | functions.VOLATILE


@pytest.mark.parametrize(
    "text",
    ["SELECT 'a\0b'", "SELECT '\udcff'", "SELECT '\udcff@'", "SELECT '\udcff' FROM a@1"],
    ids=["NUL", "half a letter", "half a letter and a sign", "half a letter and a snapshot"],
)
def test_a_character_that_no_text_may_hold_is_a_fault_of_the_statement(text: str) -> None:
    with pytest.raises(StatementError, match="no text may hold") as caught:
        check_select(text, [])
    assert caught.value.code == "sql_syntax"
    assert pattern_fault(text) is not None


def test_looking_at_a_statement_loads_no_library_for_tables_of_python() -> None:
    look = (
        "import sys; from dataplane import statements, syntax; statements.check_select('SELECT a FROM t', ['t']); "
        "syntax.pattern_fault('a+'); print(sorted({'numpy', 'pandas'} & set(sys.modules) - before))"
    )
    # What the driver itself imports is not looked at.
    begun = f"import sys, duckdb; before = set(sys.modules); {look}"
    done = subprocess.run([sys.executable, "-c", begun], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("SELECT * FROM Flights@3;", 'SELECT * FROM "Flights@3"'),
        (
            "SELECT é.x FROM flights@3 AS é, kept@audited -- a@1\nWHERE x <> 'ü@1' AND x <> $$b@2$$",
            'SELECT é.x FROM "flights@3" AS é, "kept@audited" -- a@1\nWHERE x <> \'ü@1\' AND x <> $$b@2$$',
        ),
        ("SELECT flights@3.x FROM flights@3", 'SELECT "flights@3".x FROM "flights@3"'),
        ('SELECT @x FROM "flights@3"', 'SELECT @x FROM "flights@3"'),
    ],
)
def test_a_snapshot_needs_no_quotes(text: str, runs: str) -> None:
    assert check_select(text, ["flights@3", "kept@audited"]) == runs
    assert named_in(text).tables <= {"flights@3", "kept@audited"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT 1 FROM a@1 FROM", (1, 19, "FROM")),
        ('SELECT \'"x"\' FROM "a@1", b@1 AS "b", a@2 )', (1, 42, ")")),
        ("SELECT 1 FROM a@1,\n b@1 FROM b@1\n GROUP BY )", (2, 6, "FROM")),
        ("SELECT 1 FROM a@1 WHERE x b@1", (1, 27, '"b@1"')),
        ("SELECT ) FROM a@1", (1, 8, ")")),
    ],
)
def test_a_fault_beside_a_snapshot_is_told_with_its_place_in_what_was_written(
    text: str, place: tuple[int, int, str]
) -> None:
    for look in (named_in, lambda text: check_select(text, ["a@1", "b@1", "a@2"])):
        with pytest.raises(StatementError) as caught:
            look(text)
        line, column, near = place
        assert (caught.value.line, caught.value.column) == (line, column)
        assert caught.value.evidence["statement_error"] == f'Syntax error at or near "{near}"'
        assert caught.value.evidence["remedy"] == "Correct the statement."


def placed(text: str, word: str) -> tuple[int, int]:
    begin = text[: text.index(word)]
    return begin.count("\n") + 1, len(begin.split("\n")[-1]) + 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("SELECT 1 FROM a@1 JOIN gone USING (x)", "gone"),
        ("SELECT 'ü', a@1.x,\n b@1.y, getenv('z')\nFROM a@1", "getenv"),
    ],
)
def test_what_is_refused_beside_a_snapshot_is_told_with_its_place_in_what_was_written(text: str, word: str) -> None:
    with pytest.raises(StatementError) as caught:
        check_select(text, ["a@1", "b@1"])
    assert (caught.value.line, caught.value.column) == placed(text, word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("SELECT 1 FROM a@1 WHERE gone > 1", "gone"),
        ("SELECT 'ü' AS u,\n a@1.x FROM a@1\n WHERE a@1.x > 'ü' OR a@1.gone > 1", "a@1.gone"),
    ],
)
def test_what_duckdb_refuses_beside_a_snapshot_is_told_with_its_place_in_what_was_written(text: str, word: str) -> None:
    with duckdb.connect() as connection:
        connection.execute('CREATE TABLE "a@1" (x INTEGER)')
        with pytest.raises(duckdb.BinderException) as said:
            connection.execute(f"DESCRIBE (\n{check_select(text, ['a@1'])}\n)")
    found = fault(str(said.value), text, before_lines=1)
    assert (found.line, found.column) == placed(text, word)


@pytest.mark.parametrize("text", ["SELECT 'a FROM b@1", "FROM a@1; FROM b@2", "FROM read_csv@1('x')"])
def test_what_is_no_query_with_quotes_either_is_refused_as_it_was_written(text: str) -> None:
    with pytest.raises(StatementError):
        check_select(text, ["a@1", "b@1", "b@2"])


def test_a_snapshot_whose_name_is_no_plain_word_is_told_how_to_write_it() -> None:
    with pytest.raises(StatementError) as caught:
        check_select("SELECT * FROM values@3", ["values@3"])
    assert (caught.value.code, caught.value.evidence["remedy"]) == (
        "sql_syntax",
        'Put the name of a snapshot in double quotes, as in "flights@3".',
    )
