"""Plain Python on Arrow and DuckDB: everything that touches rows, and nothing that knows a user or a run."""
