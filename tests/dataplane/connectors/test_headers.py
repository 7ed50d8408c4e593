"""Headers of delimited files whose names are not all there, or not all different: recognised, and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.dataplane.steps.files_source import Drop, rejects, rows


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    (tmp_path / "drop").mkdir()
    return Drop(tmp_path)


@pytest.mark.parametrize(
    ("header", "columns", "told"),
    [
        (",city,amount", ["column0", "city", "amount"], "column0 (column 1 has no name)"),
        ("amount,city,amount", ["amount", "city", "amount_1"], "amount_1 (amount again)"),
        ("Id,city,id", ["Id", "city", "id_1"], "id_1 (id again)"),
        ("id,,", ["id", "column1", "column2"], "column1 (column 2 has no name), column2 (column 3 has no name)"),
    ],
)
def test_a_header_with_empty_or_repeated_names_is_one(drop: Drop, header: str, columns: list[str], told: str) -> None:
    drop.write("a.csv", f"{header}\n1,Bonn,2.50\n2,Köln,\n3,Bonn,7.25\n")
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == columns
    (warning,) = info.warnings
    assert warning.startswith(
        f"The header has empty or repeated names; so columns are called {told}. If that line is a"
    )
    stream = drop.stream()
    result = drop.extract(stream)
    assert [[str(value) for value in row] for row in rows(drop.root, result)] == [
        ["1", "Bonn", "2.50"],
        ["2", "Köln", "None"],
        ["3", "Bonn", "7.25"],
    ]


def test_of_many_names_the_first_are_told(drop: Drop) -> None:
    drop.write("a.csv", "id" + ",x" * 14 + "\n" + "1" + ",2" * 14 + "\n")
    (warning,) = drop.connector.discover()[0].warnings
    assert "x_10 (x again) and 3 more. " in warning


@pytest.mark.parametrize(
    ("first", "second"),
    [("Paris,,France", "Rome,Lazio,Italy"), ("Bonn,Bonn,Germany", "Rome,Lazio,Italy"), ("unknown,,Norway", "7,,Italy")],
)
def test_texts_over_texts_or_above_themselves_are_a_row_and_that_is_told(drop: Drop, first: str, second: str) -> None:
    last = "8,Oslo,Norway" if second.startswith("7") else "Oslo,Oslo,Norway"
    drop.write("a.csv", f"{first}\n{second}\n{last}\n")
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["column0", "column1", "column2"]
    assert info.warnings[0].startswith("The first line is read as a row: some of its cells are empty or alike")
    assert len(rows(drop.root, drop.extract(drop.stream()))) == 3


@pytest.mark.parametrize("first", ["1,,2.5", "NA,NA,3", "-1,x,x"])
def test_a_first_line_with_values_is_a_row_without_a_word(drop: Drop, first: str) -> None:
    drop.write("a.csv", f"{first}\n4,a,5\n6,b,7\n")
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["column0", "column1", "column2"]
    assert not [each for each in info.warnings if "first line" in each or "header" in each]


def test_an_encoding_that_is_guessed_is_told(drop: Drop) -> None:
    drop.write("a.csv", "id,city\n1,Köln\n2,Bonn\n".encode("latin-1"))
    (info,) = drop.connector.discover()
    assert info.warnings[-1].startswith("The files are no UTF-8 and name no encoding; cp1252 is a guess.")
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        drop.write("a.csv", "id,city\n1,Köln\n2,Bonn\n".encode(encoding))
        assert not drop.connector.discover()[0].warnings


@pytest.mark.parametrize(("above", "end"), [(0, "\n"), (2, "\n"), (1, "\r\n")])
def test_empty_lines_above_a_header_are_no_header(drop: Drop, above: int, end: str) -> None:
    drop.write("a.csv", "name,city\nanna,Bonn\n")
    drop.write("b.csv", end * above + end.join(["name,city", "bert,Rome", "carl", ""]))
    result = drop.extract(replace(drop.stream("a"), settings={**drop.stream("a").settings, "pattern": "*.csv"}))
    assert rows(drop.root, result) == [("anna", "Bonn"), ("bert", "Rome")]
    assert rejects(drop.root, result) == [("b.csv", 3 + above, "too few columns", "carl")]


@pytest.mark.parametrize("above", ["  \n", "\n \n", "Report\n  \n"], ids=["blanks", "both", "title"])
def test_lines_of_blanks_above_a_header_are_no_header(drop: Drop, above: str) -> None:
    drop.write("a.csv", f"{above}name,city\nanna,Bonn\nbert,Rome\n")
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["name", "city"]
    assert rows(drop.root, drop.extract(drop.stream())) == [("anna", "Bonn"), ("bert", "Rome")]


@pytest.mark.parametrize(
    "above", ["\u00a0,\u2003\n", '"\n",\n', '"\n \n","\n"\n,\n'], ids=["spaces", "break", "breaks"]
)
def test_cells_of_blanks_of_any_kind_above_a_header_are_no_header(drop: Drop, above: str) -> None:
    drop.write("a.csv", f"{above}name,city\nanna,Bonn\nbert,Rome\n".encode())
    result = drop.extract(drop.stream())
    assert (rows(drop.root, result), rejects(drop.root, result)) == ([("anna", "Bonn"), ("bert", "Rome")], [])


@pytest.mark.parametrize("told", ["\0", '"', "'", "\\"], ids=["nought", "quote", "apostrophe", "escape"])
def test_a_line_that_tells_what_no_delimiter_can_be_is_a_row(drop: Drop, told: str) -> None:
    drop.write("a.csv", f"sep={told}\nname,city\nanna,Bonn\nbert,Rome\n")
    (info,) = drop.connector.discover()
    assert [each.name for each in info.columns] == ["name", "city"]
    assert rows(drop.root, drop.extract(drop.stream())) == [("anna", "Bonn"), ("bert", "Rome")]


@pytest.mark.parametrize("delimiter", [";", "\t", "^", "§"])
def test_a_line_that_tells_the_delimiter_is_no_row(drop: Drop, delimiter: str) -> None:
    lines = [["name", "amount"], ["anna", "1,5"], ["bert", "2,25"]]
    drop.write("a.csv", f"sep={delimiter}\r\n" + "".join(f"{delimiter.join(each)}\r\n" for each in lines))
    (info,) = drop.connector.discover()
    assert ([each.name for each in info.columns], info.warnings) == (["name", "amount"], ())
    assert rows(drop.root, drop.extract(drop.stream())) == [("anna", 1.5), ("bert", 2.25)]


def test_a_header_that_is_narrower_than_its_rows_is_told(drop: Drop) -> None:
    drop.write("a.csv", "id,name\n1,anna,\n2,bert,\n")
    (info,) = drop.connector.discover()
    assert info.warnings[0].startswith("What stands above the rows is skipped, up to line 1 (id,name), because")


@pytest.mark.parametrize("above", ["\t\t\n", "\t\t\n\t\t\n", "\t\n\t\t\n", "a report\n\t\t\n", '""\t \t""\n'])
def test_lines_of_nothing_but_delimiters_may_stand_above_a_header(drop: Drop, above: str) -> None:
    drop.write("a.tsv", f"{above}id\tname\tsum\n1\tAnn\t2\n2\tBen\t3\n")
    (info,) = drop.connector.discover()
    assert [(each.name, each.type) for each in info.columns] == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
        ("sum", "BIGINT"),
    ]
    stream = drop.stream()
    drop.write("a.tsv", f"{above}id\tname\tsum\n1\tAnn\t2\nx\tBen\t3\n")
    result = drop.extract(stream)
    assert rows(drop.root, result) == [(1, "Ann", 2)]
    assert [row for _, row, _, _ in rejects(drop.root, result)] == [above.count("\n") + 3]


def test_rows_without_a_value_are_kept_where_there_is_no_header(drop: Drop) -> None:
    drop.write("a.tsv", "\t\t\n1\t2\t3\n4\t5\t6\n")
    assert len(rows(drop.root, drop.extract(drop.stream()))) == 3


def test_a_file_of_nothing_but_delimiters_is_empty(drop: Drop) -> None:
    drop.write("a.csv", ",,\n,,\n")
    assert "a.csv is empty: not even a header is in it" in drop.connector.discover()[0].warnings[0]
