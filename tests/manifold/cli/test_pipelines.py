"""`manifold apply`, `export` and `validate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.furnished import DOCUMENT
from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "orders.yaml"
    file.write_text(DOCUMENT.replace("title: Orders", "title: The orders"))
    result = served.manifold("apply", "-f", str(file))
    assert (result.exit_code, result.stdout) == (0, "orders: saved as draft; publish it with --publish\n")
    assert served.manifold("export", "orders").stdout == file.read_text()
    result = served.manifold("apply", "-f", str(file), "--publish")
    assert (result.exit_code, result.stdout) == (0, "orders: published as version 2\n")
    assert served.json("export", "orders") == served.client().in_project("GET", "pipelines/orders/")
    result = served.manifold("validate", str(file))
    assert (result.exit_code, result.stdout) == (0, f"{file}: valid\n")
    assert served.json("validate", str(file)) == {"valid": True, "errors": []}


def test_a_wrong_document_is_told_with_its_line(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(DOCUMENT.replace("input: sound", "input: sounds"))
    result = served.manifold("validate", str(file))
    assert result.exit_code == 1
    assert f"{file}:12:" in result.stderr and "steps.kept.load.input" in result.stderr
    result = served.manifold("apply", "-f", str(file))
    assert result.exit_code == 2
    assert ", line 12: " in result.stderr and "steps.kept.load.input" in result.stderr
    assert result.stderr.count("There is no step") == 1
    assert served.json("validate", str(file), code=1)["errors"][0]["line"] == 12
    assert served.json("apply", "-f", str(file), code=2)["status"] == 400


@pytest.mark.parametrize("command", [["validate"], ["apply", "-f"]])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"steps: [\n", "brackets"),
        (b"a: &x [*x]\n", ""),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"", ""),
        (b"a\x00b", ""),
        (b"[" * 50_000, ""),
        (b"- 1\n", ""),
    ],
)
def test_what_is_no_document(served: Served, tmp_path: Path, command: list[str], content: bytes, said: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    result = served.manifold(*command, str(file))
    assert result.exit_code in (1, 2)
    assert said in result.stderr and len(result.stderr) > 20 and ": :" not in result.stderr


def test_what_is_not_there(served: Served, tmp_path: Path) -> None:
    for command in (["validate"], ["apply", "-f"]):
        result = served.manifold(*command, str(tmp_path / "nothing.yaml"))
        assert (result.exit_code, "No such file" in result.stderr) == (2, True)
    result = served.manifold("export", "nothing")
    assert (result.exit_code, "There is no pipeline `nothing`" in result.stderr) == (2, True)


def test_retries_are_told_in_words(served: Served, tmp_path: Path) -> None:
    assert served.manifold("retries", "orders").stdout.startswith("Tried again after ")
    file = tmp_path / "orders.yaml"
    file.write_text(DOCUMENT + "retry: {attempts: 1}\n")
    served.manifold("apply", "-f", str(file), "--publish")
    assert served.manifold("retries", "orders").stdout == "Never tried again.\n"
    assert served.json("retries", "orders") == served.client().in_project("GET", "pipelines/orders/retries/")
