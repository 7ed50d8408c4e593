"""What a document says, and what is said about one that is wrong. No database."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.pipelines import document as documents
from apps.pipelines.document import json_schema, load, parse
from apps.pipelines.problems import DocumentError

EXAMPLES = Path(__file__).parents[3] / "examples"
HEAD = """manifold: 1
pipeline: flights-daily
steps:
  a: {extract: {source: s, stream: t, mode: incremental}}
"""
KEPT = "  kept: {load: {input: a, dataset: x}}\n"


def problems(text: str) -> list[tuple[str, int, int]]:
    document, found = parse(text)
    assert (document is None) == bool(found)
    return [(each.path, each.line, each.column) for each in found]


def said(text: str) -> str:
    return " ".join(f"{each.message} {each.remedy}" for each in parse(text)[1])


def test_it_works():
    document, found = parse(HEAD + KEPT)
    assert not found
    assert document is not None
    assert document.pipeline == "flights-daily"
    assert list(document.steps) == ["a", "kept"]
    assert document.loads()["x"].key == "kept"
    assert document.header.retry.attempts == 3
    assert load(document.as_json()) == document


@pytest.mark.parametrize("name", ["flights", "weather"])
def test_the_examples_are_valid(name: str):
    document, found = parse((EXAMPLES / f"{name}.yaml").read_text())
    assert not found
    assert document is not None
    assert load(document.as_json()) == document


def test_the_order_of_the_steps_is_kept_by_a_store_that_sorts_keys():
    document, _ = parse(HEAD.replace("  a:", "  long_name:") + KEPT.replace("input: a", "input: long_name"))
    assert document is not None
    stored = document.as_json()
    stored["steps"] = dict(sorted(stored["steps"].items()))
    assert list(load(stored).steps) == ["long_name", "kept"]


def test_yaml_is_read_as_version_1_2():
    """`on`, `no` and dates are texts: YAML 1.1 makes a truth value of a country's code and a date of a name."""
    rules = "[{accepted_values: {column: land, values: [NO, off, 012, 2013-01-01, 1, 1.5, true]}}]"
    text = HEAD + f"  c: {{check: {{input: a, rules: {rules}}}}}\n  l: {{load: {{input: c, dataset: x}}}}\n"
    document, found = parse(text + "retry: {attempts: 2, on: [transient, connection_timeout]}\n")
    assert not found
    assert document is not None
    values = document.steps["c"].written["rules"][0]["accepted_values"]["values"]
    assert values == ["NO", "off", "012", "2013-01-01", 1, 1.5, True]
    assert document.header.retry.on == ("transient", "connection_timeout")


def test_every_fault_is_told_with_its_place():
    text = HEAD + "  b: {load: {input: a, dataset: x, moed: append}}\n  c: {load: {dataset: y}}\nretri: {}\n"
    assert problems(text) == [
        ("steps.b.load.moed", 5, 36),
        ("steps.c.load.input", 6, 7),
        ("retri", 7, 1),
    ]
    assert "Did you mean `mode`?" in said(text)
    assert "Did you mean `retry`?" in said(text)


def test_a_fault_inside_a_rule():
    rules = "        - {not_null: [x]}\n        - {range: {column: m, mni: 3}}\n        - {range: {column: m}}\n"
    text = HEAD + "  c:\n    check:\n      input: a\n      rules:\n" + rules + "  l: {load: {input: c, dataset: x}}\n"
    assert problems(text) == [
        ("steps.c.check.rules[1].range.mni", 10, 31),
        ("steps.c.check.rules[2].range", 11, 12),
    ]
    assert "Did you mean `min`?" in said(text)


def test_sql_that_is_wrong_is_told_with_its_line():
    query = "      query: |\n        SELECT *\n        FROM b\n"
    text = HEAD + "  q:\n    sql:\n      inputs: {a: a}\n" + query + "  l: {load: {input: q, dataset: x}}\n"
    assert problems(text) == [("steps.q.sql.query", 8, 7)]
    assert "Line 2, column 6: There is no table `b`." in said(text)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (HEAD, "steps.a", "feeds no load"),
        (HEAD + KEPT + "  m: {load: {input: a, dataset: x}}\n", "steps.m.load.dataset", "loaded by `kept` already"),
        (HEAD + "  l: {load: {input: aa, dataset: x}}\n", "steps.l.load.input", "Did you mean `a`?"),
        (HEAD + "  l: {load: {input: l, dataset: x}}\n", "steps.l.load.input", "names itself"),
        (HEAD + "  l: {lod: {input: a}}\n", "steps.l.lod", "Did you mean `load`?"),
        (HEAD + "  l: {}\n", "steps.l", "no kind"),
        (HEAD + "  plan: {load: {input: a, dataset: x}}\n", "steps.plan", "is taken"),
        (HEAD + KEPT + "  a: {load: {input: a, dataset: y}}\n", "steps.a", "stands here twice; the first is in line 4"),
        (HEAD + KEPT + "scheduled: {cron: x}\n", "scheduled", "Did you mean `schedule`?"),
        (HEAD.replace("flights-daily", "Flights Daily") + KEPT, "pipeline", "cannot be used as a name"),
        (HEAD + KEPT + "retry: {on: transient}\n", "retry.on", "a list"),
        ("manifold: 2\n", "manifold", "`manifold: 1`"),
        ("manifold: true\n", "manifold", "`manifold: 1`"),
        ("pipeline: x\n", "", "`manifold: 1`"),
        ("", "", "empty"),
        ("- 1\n", "", "mapping"),
        ("a: &b [1]\nc: *b\n", "", "aliases"),
        ("a: !!python/object:os.system x\n", "a", "Remove the tag"),
        ("a: 1\n---\nb: 1\n", "", "one document"),
        ("a:\n\t- b\n", "", "indentation"),
        ("[" * 5000, "", "nested too deeply"),
        ('manifold: 1\npipeline: "a\\0b"\n', "pipeline", "cannot be stored"),
        ('manifold: 1\npipeline: "\\ud800"\n', "pipeline", "cannot be stored"),
        ("manifold: 1e999\n", "manifold", "cannot be used"),
        ("x: " + "9" * 30 + "\n", "x", "too long"),
        ("x" * 300_000, "", "too long"),
    ],
)
def test_what_is_refused(text: str, path: str, words: str):
    document, found = parse(text)
    assert document is None
    assert path in [each.path for each in found]
    assert words in said(text)
    assert all(each.message.endswith((".", "?")) for each in found)


def test_a_circle_is_named():
    step = "  {}: {{sql: {{inputs: {{x: {}}}, query: SELECT 1 FROM x}}}}\n"
    text = HEAD + KEPT + step.format("b", "d") + step.format("c", "b") + step.format("d", "c")
    assert "`b` → `c` → `d` → `b`" in said(text)


def test_a_circle_through_a_dataset_is_named():
    text = HEAD + "  q: {sql: {inputs: {x: {dataset: y}}, query: SELECT 1 FROM x}}\n" + KEPT
    assert not problems(text + "  m: {load: {input: a, dataset: y}}\n")
    assert "form a circle" in said(text + "  m: {load: {input: q, dataset: y}}\n")


def test_references_of_rules_are_edges():
    more = "  r: {extract: {source: s, stream: u}}\n  c: {check: {input: a, rules: [{foreign_key: RULE}]}}\n"
    text = HEAD + more.replace("RULE", "{column: k, references: r.id}") + "  l: {load: {input: c, dataset: x}}\n"
    document, _ = parse(text)
    assert document is not None
    assert document.graph().nodes["c"].upstream == ("a", "r")
    wrong = text.replace("r.id", "q.id")
    assert ("steps.c.check.rules[0].foreign_key.references", 6, 59) in problems(wrong)


def test_the_stored_document_of_an_unknown_kind_is_refused():
    document, _ = parse(HEAD + KEPT)
    assert document is not None
    stored = document.as_json()
    stored["steps"]["kept"] = {"teleport": {}}
    with pytest.raises(DocumentError, match="teleport"):
        load(stored)


def test_the_schema_names_every_kind():
    schema = json_schema()
    shapes = schema["properties"]["steps"]["additionalProperties"]["oneOf"]
    assert {each["required"][0] for each in shapes} >= {"extract", "check", "sql", "load"}
    assert {"Rule", "Retry", "step_load"} <= set(schema["$defs"])


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text("abc:{}[]-,&*!|>'\"\n\t #1.~?%@`\\", max_size=200))
def test_no_text_breaks_the_reader(text: str):
    document, found = parse(text)
    assert (document is None) == bool(found)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
_KEYS = st.sampled_from(["extract", "load", "sql", "check", "retry", "timeout", "if_failed", "plan"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "plan", "A"]), st.dictionaries(_KEYS, _VALUES, max_size=3) | _VALUES))
def test_no_value_breaks_the_reader(steps: object):
    value = {"manifold": 1, "pipeline": "p", "steps": steps}
    document, found = documents.understand(value, documents.texts.Places())
    assert (document is None) == bool(found)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("{}", ("`steps` is empty.", "Write at least one.")),
        ("{a: {check: {input: a, rules: []}}}", ("`rules` is empty.", "Write at least one.")),
        ("{a: {load: {input: b, dataset: x}}}", ("There is no step `b`.", "Write it, too.")),
    ],
)
def test_what_is_empty_is_said_in_plain_words(steps: str, said: tuple[str, str]):
    _, found = parse(f"manifold: 1\npipeline: x\nsteps: {steps}\n")
    assert [(each.message, each.remedy) for each in found] == [said]


def test_too_many_of_something_are_told_with_how_many_there_may_be():
    delays = ", ".join(["1"] * 21)
    _, found = parse(
        f"manifold: 1\npipeline: x\nretry: {{delays: [{delays}]}}\n"
        "steps: {a: {extract: {source: s, stream: t}}, b: {load: {input: a, dataset: x}}}\n"
    )
    assert [(each.message, each.remedy) for each in found] == [("`delays` has more than 20 entries.", "Take some out.")]
