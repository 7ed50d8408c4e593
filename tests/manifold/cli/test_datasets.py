"""`manifold datasets` and `snapshots`."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifold.cli import output
from tests.served import Served

pytestmark = pytest.mark.django_db


def test_it_works(served: Served) -> None:
    client = served.client()
    assert served.json("datasets") == client.in_project("GET", "datasets/")
    assert served.manifold("datasets").stdout.splitlines()[1].split()[:3] == ["orders", "1", "2"]
    snapshots = "datasets/orders/snapshots/"
    assert served.json("snapshots", "list", "orders") == client.in_project("GET", f"{snapshots}?page_size=20")
    assert served.json("snapshots", "show", "orders", "1") == client.in_project("GET", f"{snapshots}1/")
    assert served.manifold("snapshots", "list", "orders").stdout.splitlines()[1].split()[:3] == ["1", "append", "2"]
    shown = served.manifold("snapshots", "show", "orders", "1", "--rows", "1").stdout
    assert shown.startswith("snapshot  orders@1\n")
    assert "customer" in shown and "ann" in shown and "ben" not in shown


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_snapshot_is_saved_as_a_file(served: Served, tmp_path: Path, form: str) -> None:
    file = tmp_path / "orders"
    words = ["snapshots", "export", "orders", "1", "--format", form, "-o", str(file)]
    result = served.manifold(*words)
    assert (result.exit_code, result.stdout.startswith(str(file))) == (0, True)
    assert file.read_bytes()[:4] == {"csv": b"id,c", "ndjson": b'{"id'}[form]
    result = served.manifold(*words)
    assert (result.exit_code, "exists already" in result.stderr) == (2, True)
    other = tmp_path / "other"
    answer = served.json("snapshots", "export", "orders", "1", "--format", form, "-o", str(other))
    assert answer == {"file": str(other), "bytes": other.stat().st_size}


def test_a_file_appears_whole_or_not_at_all(served: Served, tmp_path: Path) -> None:
    result = served.manifold("snapshots", "export", "orders", "9", "-o", str(tmp_path / "f"))
    assert (result.exit_code, "There is no snapshot `9`" in result.stderr) == (2, True)
    result = served.manifold("snapshots", "export", "orders", "1", "-o", str(tmp_path / "nowhere" / "f"))
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_wide_letters_stay_aligned_and_nothing_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table([["東京", 1], ["\x1b[2Jx\r\n\ty", 20]], ["city", "n"], "")
    assert capsys.readouterr().out.splitlines() == ["city        n", "東京        1", " [2Jx   y  20"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["snapshots", "list", "nothing"], 2, "There is no dataset `nothing`"),
        (["snapshots", "show", "orders", "0"], 2, "0 is not in the range"),
        (["snapshots", "show", "orders", "99"], 2, "There is no snapshot `99`"),
        (["snapshots", "show", "orders", "x"], 2, "'x' is not a valid integer"),
    ],
)
def test_wrong_words(served: Served, words: list[str], code: int, said: str) -> None:
    result = served.manifold(*words)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output
