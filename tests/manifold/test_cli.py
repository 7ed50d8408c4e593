"""The `manifold` command as a whole."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from manifold.cli import COMMANDS, main, output
from manifold.client import Client


def test_it_works() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(f"\n  {name}" in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()[2].strip()) > 10


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.output


@pytest.mark.parametrize("name", ["up", "doctor", "status"])
def test_a_command_starts_without_django(name: str) -> None:
    module = COMMANDS[name].partition(":")[0]
    program = f"import sys, {module}; sys.exit('django' in sys.modules or 'celery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_package_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, said in (("no_such_package:x", "run `make up`"), ("manifold.nothing:x", "should not have happened")):
        monkeypatch.setitem(COMMANDS, "status", place)
        result = CliRunner().invoke(main, ["status"], env={"MANIFOLD_LOG_LEVEL": "loud"})
        assert (result.exit_code, said in result.output) == (1, True), result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_tested(name: str) -> None:
    """By its words, as a test gives them to the command: `manifold("sql", …)`, `json("sql", …)`, `["sql", …]`."""
    folder = Path(__file__).parent.parent
    spoken = re.compile(rf'(\(|\[)"{name}"')
    assert any(spoken.search(each.read_text()) for each in folder.rglob("test_*.py")), f"`manifold {name}` has no test"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    @click.command()
    @output.command
    def endless(client: Client, *, as_json: bool) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    said = CliRunner().invoke(endless, env={"MANIFOLD_URL": "http://127.0.0.1:1", "MANIFOLD_TOKEN": "mf_x"})
    assert said.exit_code == 1
    assert said.output == ""
