"""The step of docs/add-a-step.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.cluster import ROOT
from tests.dataplane.tables import Staging


def test_it_works(tmp_path: Path) -> None:
    code = re.search(r"^```python\n(.*?)^```", (ROOT / "docs" / "add-a-step.md").read_text(), re.MULTILINE | re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "doubled"}
    exec(compile(code[1], "add-a-step.md", "exec"), names)
    step, staging = names["DoubledStep"], Staging(tmp_path)
    tables = {"input": staging.table("SELECT i FROM range(3) r(i)")}
    spec = step.Spec.model_validate({"input": "before"})
    assert step.inputs(spec) == {"input": "before"}
    result = step.run(staging.context(tables, key="twice"), spec)
    assert (sorted(staging.rows(result.table)), result.rows_in) == ([(0,), (0,), (1,), (1,), (2,), (2,)], 3)
