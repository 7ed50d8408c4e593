"""dlt doing what Manifold is measured at: a source into Parquet files, run by the Python of an environment of its own.

python benchmarks/dlt_peer.py KIND PLACE FOLDER; kinds are csv, ndjson, sqlite (of a file), postgres,
rest (a URL), mysql (a port)
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.filesystem import filesystem, read_csv_duckdb, read_jsonl
from dlt.sources.rest_api import rest_api_source
from dlt.sources.sql_database import sql_table


def source(kind: str, place: str) -> Any:
    """The table `orders` of a kind of source, by what dlt has for it that is quickest."""
    addresses = {
        "postgres": place,
        "sqlite": f"sqlite:///{place}",
        "mysql": f"mysql+pymysql://root@127.0.0.1:{place}/bench",
    }
    if kind in addresses:
        return sql_table(credentials=addresses[kind], table="orders", backend="connectorx")
    if kind == "rest":
        base, _, path = place.rpartition("/")
        paginator = {"type": "page_number", "base_page": 1, "page_param": "page", "total_path": None}
        endpoint = {"path": path, "data_selector": "data", "paginator": paginator}
        return rest_api_source({"client": {"base_url": base}, "resources": [{"name": "orders", "endpoint": endpoint}]})
    file = Path(place)
    files = filesystem(bucket_url=file.parent.as_uri(), file_glob=file.name)
    read = read_csv_duckdb(use_pyarrow=True) if kind == "csv" else read_jsonl(chunksize=10_000)
    return (files | read).with_name("orders")


def main() -> None:
    """Print the seconds of the whole pipeline, without its imports, and how many rows it has loaded."""
    kind, place, folder = sys.argv[1:]
    began = time.perf_counter()
    destination = dlt.destinations.filesystem(bucket_url=Path(folder, "lake").as_uri())
    pipeline = dlt.pipeline(kind, destination=destination, dataset_name="peer", pipelines_dir=f"{folder}/state")
    pipeline.run(source(kind, place), loader_file_format="parquet", write_disposition="replace")
    seconds = time.perf_counter() - began
    rows = pipeline.last_trace.last_normalize_info.row_counts["orders"]
    print(json.dumps({"seconds": seconds, "rows": rows}))


if __name__ == "__main__":
    main()
