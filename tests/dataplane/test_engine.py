"""The two kinds of DuckDB instance: what they may do, what they refuse, and how rows become files."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import duckdb
import pytest

from dataplane import engine
from dataplane.address_space import address_space
from dataplane.engine import connector_instance, disk_error, operator_instance, write_parquet
from dataplane.errors import CancelledError, ConfigurationError, DataError, InfrastructureError
from dataplane.failures import duckdb_errors, translated
from dataplane.relations import identifier, literal, relation_sql
from dataplane.steps.base import ColumnType, Table
from dataplane.storage import Storage
from tests.dataplane.interrupting import interrupted

MEMORY = 256 << 20


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(f"file://{tmp_path}/storage")


def spill(storage: Storage) -> str:
    return f"{storage.root}/spill/1"


def test_rows_become_files_with_their_counts(storage):
    with connector_instance(ordered=True) as connection:
        (file,) = write_parquet(connection, "SELECT i FROM range(1000) t(i)", storage=storage, folder="a", hashed=True)
    path = Path(storage.absolute(file.path))
    assert (file.rows, file.bytes) == (1000, path.stat().st_size)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_nothing_to_write_leaves_no_file(storage):
    with connector_instance() as connection:
        assert write_parquet(connection, "SELECT 1 AS a WHERE false", storage=storage, folder="a") == ()
    assert list(storage.walk("a")) == []


def test_a_path_is_written_once(storage):
    with connector_instance() as connection:
        write_parquet(connection, "SELECT 1 AS a", storage=storage, folder="a")
        with pytest.raises(FileExistsError):
            write_parquet(connection, "SELECT 2 AS a", storage=storage, folder="a")


def test_an_ordered_instance_keeps_the_order_of_rows(storage):
    with connector_instance(ordered=True, threads=2) as connection:
        files = write_parquet(connection, "SELECT i FROM range(1_000_000) t(i)", storage=storage, folder="a")
        wrong = connection.execute(
            f"SELECT count(*) FROM read_parquet('{storage.absolute(files[0].path)}', file_row_number = true) "
            "WHERE i <> file_row_number"
        ).fetchone()
    assert wrong == (0,)


def test_split_writes_every_row_once(storage):
    with connector_instance(threads=2) as connection:
        files = write_parquet(connection, "SELECT i FROM range(500_000) t(i)", storage=storage, folder="a", split=True)
        table = Table((ColumnType("i", "BIGINT"),), files)
        found = connection.execute(f"SELECT count(*), sum(i) FROM ({relation_sql(table, storage)})").fetchone()
    assert found == (500_000, sum(range(500_000)))


def test_times_are_utc():
    with connector_instance() as connection:
        assert connection.execute("SELECT current_setting('TimeZone')").fetchone() == ("UTC",)


def test_a_variable_of_python_is_no_table():
    secret_rows = duckdb.sql("SELECT 1")  # noqa: F841
    with connector_instance() as connection, pytest.raises(duckdb.CatalogException):
        connection.execute("SELECT * FROM secret_rows")


def test_an_extension_comes_from_its_wheel():
    with connector_instance(extensions=("postgres_scanner",)) as connection:
        loaded = connection.execute("SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'postgres_scanner'")
        assert loaded.fetchone() == (True,)


def test_a_signature_is_checked_once_and_again_when_the_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy, other = tmp_path / "excel.duckdb_extension", tmp_path / "other"
    copy.write_bytes(Path(engine.extension_path("excel")).read_bytes())
    monkeypatch.setattr(engine, "extension_path", lambda name: str(copy))
    for unsigned in (False, True):
        with connector_instance(extensions=("excel",)) as connection:
            found = connection.execute("SELECT current_setting('allow_unsigned_extensions')::BOOLEAN").fetchone()
            assert found == (unsigned,)
    # Put in its place and not written over: the first one is mapped into this process.
    other.write_bytes(copy.read_bytes()[:-1] + b"?")
    other.replace(copy)
    with pytest.raises(duckdb.IOException, match="signature"), connector_instance(extensions=("excel",)):
        pass


def test_a_missing_extension_names_the_package():
    with (
        pytest.raises(ConfigurationError, match="duckdb-extension-nowhere") as caught,
        connector_instance(extensions=("nowhere",)),
    ):
        pass
    assert caught.value.code == "extension_missing"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM glob('/*')",
        "COPY (SELECT 1) TO '{root}/elsewhere.parquet'",
        "COPY (SELECT 1) TO '{input}'",
        "ATTACH '{root}/x.db'",
        "LOAD postgres_scanner",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET memory_limit = '100GB'",
        "SET TimeZone = 'Europe/Berlin'",
    ],
)
def test_an_operator_instance_reaches_nothing_else(storage, statement):
    with connector_instance() as connection:
        (allowed,) = write_parquet(connection, "SELECT 1 AS a", storage=storage, folder="a")
        (other,) = write_parquet(connection, "SELECT 2 AS a", storage=storage, folder="b")
    output = storage.new_folder("out")
    before = hashlib.sha256(Path(storage.absolute(allowed.path)).read_bytes()).hexdigest()
    names = {"root": storage.root, "other": storage.absolute(other.path), "input": storage.absolute(allowed.path)}
    inputs = [storage.absolute(allowed.path)]
    with operator_instance(inputs, output, spill=spill(storage), memory=MEMORY, threads=1) as connection:
        with pytest.raises(duckdb.Error):
            connection.execute(statement.format(**names)).fetchall()
        assert connection.execute(f"SELECT a FROM '{inputs[0]}'").fetchall() == [(1,)]
    assert hashlib.sha256(Path(inputs[0]).read_bytes()).hexdigest() == before


def test_an_operator_instance_writes_below_its_output_and_spills(storage):
    with connector_instance() as connection:
        query = "SELECT i, md5(i::VARCHAR) AS m FROM range(4_000_000) t(i)"
        (file,) = write_parquet(connection, query, storage=storage, folder="a")
    output = storage.new_folder("out")
    inputs = [storage.absolute(file.path)]
    with operator_instance(inputs, output, spill=spill(storage), memory=160 << 20, threads=2) as connection:
        sorted_ = f"SELECT * FROM '{inputs[0]}' ORDER BY m"
        (written,) = write_parquet(connection, sorted_, storage=storage, folder="out/table")
    assert written.rows == 4_000_000
    assert not Path(spill(storage)).exists()


def test_a_table_is_read_by_name_over_files_that_differ(storage):
    with connector_instance() as connection:
        one = write_parquet(connection, "SELECT 1::INTEGER AS a, 'x' AS b", storage=storage, folder="a")
        two = write_parquet(connection, "SELECT 'y' AS b, 2 AS extra", storage=storage, folder="b")
        table = Table((ColumnType("b", "VARCHAR"), ColumnType("a", "BIGINT")), one + two)
        rows = connection.execute(relation_sql(table, storage, positions=True)).fetchall()
    assert sorted((b, a, ordinal) for b, a, _, ordinal in rows) == [("x", 1, 0), ("y", None, 0)]


def test_an_empty_table_has_types(storage):
    table = Table((ColumnType("a", "DECIMAL(9,2)"), ColumnType('we"ird', "DATE")))
    with connector_instance() as connection:
        described = connection.execute(f"DESCRIBE {relation_sql(table, storage)}").fetchall()
    assert [(name, type_) for name, type_, *_ in described] == [("a", "DECIMAL(9,2)"), ('we"ird', "DATE")]


def test_names_and_texts_cannot_end_early():
    name, text = 'a"; DROP TABLE x; --', "it's; --"
    with connector_instance() as connection:
        result = connection.execute(f"SELECT {literal(text)} AS {identifier(name)}")
        assert (result.description[0][0], result.fetchall()) == (name, [(text,)])
    with pytest.raises(ValueError, match="NUL"):
        literal("a\0b")


def test_an_interrupt_is_a_cancellation():
    with (
        connector_instance() as connection,
        pytest.raises(CancelledError),
        duckdb_errors(),
        interrupted(connection),
    ):
        connection.execute("SELECT count(*) FROM range(1_000_000_000) a, range(1000) b").fetchall()


def test_too_little_memory_is_the_machines_fault(tmp_path):
    with (
        connector_instance(memory=32 << 20, threads=1) as connection,
        pytest.raises(InfrastructureError) as caught,
        duckdb_errors(),
    ):
        connection.execute("SELECT list(i) FROM range(50_000_000) t(i)").fetchall()
    assert caught.value.code == "out_of_memory"
    assert "MANIFOLD_STEP_MEMORY" in caught.value.message


def test_a_ceiling_on_address_space_stops_what_ignores_the_limit():
    with (
        connector_instance(memory=64 << 20, threads=1) as connection,
        address_space(512 << 20),
        pytest.raises(InfrastructureError) as caught,
        duckdb_errors(),
    ):
        connection.execute("SELECT length(repeat('x', 2_000_000_000))").fetchall()
    assert caught.value.code == "out_of_memory"


@pytest.mark.parametrize(
    ("statement", "kind", "code"),
    [
        ("SELEC 1", ConfigurationError, "sql"),
        ("SELECT * FROM nowhere", ConfigurationError, "sql"),
        ("SELECT CAST('x' AS INTEGER)", DataError, "conversion"),
        ("SELECT * FROM read_parquet('/nowhere.parquet')", InfrastructureError, "io"),
    ],
)
def test_what_duckdb_says_has_a_class(statement, kind, code):
    with connector_instance() as connection, pytest.raises(kind) as caught, duckdb_errors():
        connection.execute(statement).fetchall()
    assert caught.value.code == code


def test_a_full_disk_is_told_apart():
    full = duckdb.IOException('IO Error: Could not write file "x": No space left on device')
    assert translated(full).code == "disk_full"  # type: ignore[union-attr]
    assert disk_error(OSError(errno.ENOSPC, "no")).code == "disk_full"
    assert disk_error(OSError(errno.EIO, "no")).code == "storage_write"
