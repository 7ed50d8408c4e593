"""Plain Python on Arrow and DuckDB: everything that touches rows, and nothing that knows a user or a run."""

import os

# DuckDB's allocator reads this when its library is loaded, so it stands before the first import of it. Threads that
# share one arena take up what another has freed, where each would keep some of its own: in a process that has read
# before, 5 million lines of CSV peak at 319 MB then instead of 354 (medians on a busy machine), in the same time.
os.environ.setdefault("DUCKDB_JE_MALLOC_CONF", "narenas:1")
