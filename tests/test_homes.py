"""Databases of homes that are over do not stay on the machine that runs the tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from manifold.supervisor import home as homes
from manifold.supervisor.home import Home
from tests.homes import forget


def test_those_of_killed_tests_go_too_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "SHARED", tmp_path / "shared")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    elsewhere = Path("/nowhere/home")
    databases = {}
    for each in (tmp_path / "over", tmp_path / "running", tmp_path / "killed", elsewhere):
        databases[each.name] = Home(each).postgres_data(as_root=True)
        databases[each.name].mkdir(parents=True)
        Home(each).sign_shared()
    for name in ("over", "running"):
        (tmp_path / name).mkdir()
    forget(tmp_path / "over")
    assert {name for name, each in databases.items() if each.exists()} == {"running", "home"}
