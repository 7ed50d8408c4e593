"""`python -m manifold` is the `manifold` command."""

from __future__ import annotations

from manifold.cli import main

main(prog_name="manifold")
