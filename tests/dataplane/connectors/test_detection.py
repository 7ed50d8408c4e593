"""What is made of what people paste: the connector, how sure, which parameters, and nothing secret outside of them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.connectors import detection, registry
from dataplane.connectors.clues import LONGEST, Clue
from dataplane.connectors.fields import secret_names

# What is pasted, the connector, and what of its parameters has to be understood. `?`: somebody has to choose.
DATABASES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "postgresql://reader:s3cret@db.example.org:5433/sales?sslmode=require",
        "postgresql",
        {"host": "db.example.org", "port": 5433, "database": "sales", "user": "reader", "password": "s3cret"}
        | {"sslmode": "require"},
    ),
    ("postgres://u:p%40ss@h/db", "postgresql", {"password": "p@ss"}),
    ("postgres://u:p@ss/w?rd#1@h/db", "postgresql", {"host": "h", "password": "p@ss/w?rd#1", "database": "db"}),
    ("  'postgresql+psycopg://u@[::1]:6000/db' ", "postgresql", {"host": "::1", "port": 6000}),
    ("postgresql:///db?host=/var/run/postgresql", "postgresql", {"database": "db"}),
    ("postgresql://one,two:5433/db", "postgresql", {"host": "one"}),
    ("postgresql://h:99999/db", "postgresql", {"host": "h"}),
    ("postgresql://h/db?user=u&password=p@q", "postgresql", {"host": "h", "user": "u", "password": "p@q"}),
    ("export DATABASE_URL=postgres://u:p@h/db", "postgresql", {"database": "db"}),
    ("jdbc:postgresql://h:5432/db?currentSchema=a,b&user=u", "postgresql", {"schemas": ["a", "b"], "user": "u"}),
    ("jdbc:mysql://h:3307/shop?user=a&password=b&useSSL=true", "mysql", {"password": "b", "sslmode": "require"}),
    ("jdbc:mariadb://h/shop;user=a;password=b", "mysql", {"host": "h", "user": "a", "password": "b"}),
    ("mysql://a:b@h/shop?ssl-mode=VERIFY_IDENTITY", "mysql", {"sslmode": "verify-full"}),
    ("mariadb://h", "mysql", {"host": "h"}),
    ("clickhouse://u:p@h:8443/shop", "clickhouse", {"port": 8443, "database": "shop", "password": "p"}),
    ("jdbc:clickhouse://h:8123/shop?user=u&password=p", "clickhouse", {"user": "u", "password": "p"}),
    ("abc123.eu-west-1.aws.clickhouse.cloud:8443", "clickhouse", {"port": 8443}),
    ("jdbc:sqlserver://h:1433;databaseName=shop;user=u;password=p", "sqlserver", {"database": "shop", "password": "p"}),
    ("mssql+pyodbc://u:p@h/shop", "sqlserver", {"database": "shop"}),
    ("acme.database.windows.net", "sqlserver", {"host": "acme.database.windows.net"}),
    ("oracle+oracledb://u:p@h:1521/FREEPDB1", "oracle", {"database": "FREEPDB1", "password": "p"}),
    ("snowflake://u:p@acme-one.snowflakecomputing.com/SALES", "snowflake", {"database": "SALES", "password": "p"}),
    ("jdbc:trino://h:8443/hive", "trino", {"port": 8443, "database": "hive"}),
    ("bigquery://acme/sales", "bigquery", {"database": "acme", "schemas": ["sales"]}),
    ("jdbc:redshift://h:5439/dev?user=u", "redshift", {"database": "dev", "user": "u"}),
    ("dev.abc123.eu-west-1.redshift.amazonaws.com:5439", "redshift", {"port": 5439}),
    (
        "host=h port=6000 dbname='my db' user=u password='it\\'s'",
        "postgresql",
        {"database": "my db", "password": "it's"},
    ),
    ("Host=h;Username=u;Password=p;Database=d", "postgresql", {"user": "u", "password": "p"}),
    ("Server=h;Port=3307;Database=d;Uid=u;Pwd=p;", "mysql", {"port": 3307, "password": "p"}),
    ("Server=h;Database=d;User Id=u;Password=p", "?postgresql", {"host": "h", "password": "p"}),
    ("psql -h h -U u -p 5433 sales", "postgresql", {"port": 5433, "database": "sales"}),
    ("psql 'postgresql://u:p@h/db'", "postgresql", {"database": "db", "password": "p"}),
    ("mysql --host=h --user=u -psecret shop", "mysql", {"password": "secret", "database": "shop"}),
    ("PGHOST=h\nPGUSER=u\nPGPASSWORD=p\nPGDATABASE=d\n", "postgresql", {"database": "d", "password": "p"}),
    ("# the shop\nDB_HOST=h\nDB_PORT=3306\nDB_PASSWORD='p'\n", "mysql", {"port": 3306, "password": "p"}),
    ("MYSQL_HOST=h\nMYSQL_DATABASE=shop", "mysql", {"database": "shop"}),
    ("DEBUG=1\nDATABASE_URL=postgres://u:p@h/db\n", "postgresql", {"host": "h"}),
    ("db.example.org:5432", "postgresql", {"host": "db.example.org", "port": 5432}),
    ("ep-cool-name.eu-central-1.aws.neon.tech", "postgresql", {}),
    ("db.example.org", "?sftp", {"host": "db.example.org"}),
    ("localhost:3306", "mysql", {"port": 3306}),
    ("mongodb://u:p%40w@db1.example.org:27018,db2/shop", "mongodb", {"port": 27018, "password": "p@w"}),
    ("mongodb+srv://u:p@c0.abc.mongodb.net/shop", "mongodb", {"srv": True, "host": "c0.abc.mongodb.net"}),
    ("MONGO_URL=mongodb://localhost/shop", "mongodb", {"database": "shop", "tls": "disable"}),
    ("sqlite:////data/shop.db", "sqlite", {"path": "/data/shop.db"}),
    ("jdbc:sqlite:/data/shop.db", "sqlite", {"path": "/data/shop.db"}),
    ("file:///data/shop.sqlite3", "sqlite", {"path": "/data/shop.sqlite3"}),
    ("shop.duckdb", "duckdb", {"path": "shop.duckdb"}),
    ("duckdb:////data/shop.duckdb", "duckdb", {"path": "/data/shop.duckdb"}),
]
FILES: list[tuple[str, str, dict[str, Any]]] = [
    ("/data/drop", "local_files", {"path": "/data/drop"}),
    ("/data/drop/orders 2026.csv.gz", "local_files", {"path": "/data/drop"}),
    ("C:\\data\\orders.xlsx", "uploads", {}),
    ("~/drop/", "local_files", {"path": "~/drop/"}),
    ("orders.csv", "?local_files", {}),
    ("sftp://u:p@files.example.org:2222/in/orders.csv", "sftp", {"port": 2222, "path": "/in", "password": "p"}),
    ("sftp://u@h/in/a@b/", "sftp", {"user": "u", "host": "h", "path": "/in/a@b/"}),
    ("u@files.example.org:/data/in", "sftp", {"user": "u", "path": "/data/in"}),
    ("sftp -P 22 u@h:in", "sftp", {"user": "u", "path": "in"}),
    ("10.0.0.5:22", "sftp", {"host": "10.0.0.5", "port": 22}),
    ("ftps://u:p@h/pub", "ftp", {"path": "/pub", "password": "p"}),
    ("s3://my-bucket/in/2026/x.csv", "s3", {"bucket": "my-bucket", "prefix": "in/2026"}),
    ("arn:aws:s3:::my-bucket/in", "s3", {"bucket": "my-bucket", "prefix": "in"}),
    ("https://my-bucket.s3.eu-west-1.amazonaws.com/in/", "s3", {"bucket": "my-bucket", "region": "eu-west-1"}),
    ("https://s3.eu-west-1.amazonaws.com/my-bucket/in/", "s3", {"bucket": "my-bucket", "prefix": "in"}),
    ("http://minio.example.org:9000/my-bucket", "s3", {"endpoint": "http://minio.example.org:9000"}),
    ("gs://my-bucket/in/2026/x.csv", "gcs", {"bucket": "my-bucket", "prefix": "in/2026"}),
    ("https://storage.googleapis.com/my-bucket/in/", "gcs", {"bucket": "my-bucket", "prefix": "in"}),
    (
        "https://acct.blob.core.windows.net/drop/in/x.csv?sv=2&sig=s%3D",
        "?azure_blob",
        {"container": "drop", "sas": "sv=2&sig=s%3D"},
    ),
    (
        "abfss://drop@acct.dfs.core.windows.net/in",
        "azure_blob",
        {"account": "acct", "container": "drop", "prefix": "in"},
    ),
    (
        "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net",
        "azure_blob",
        {"account": "acct", "account_key": "c2VjcmV0"},
    ),
    ("https://data.example.org/orders.csv", "http_files", {"urls": ["https://data.example.org/orders.csv"]}),
    ("https://u:p@data.example.org/orders.csv.zst", "http_files", {"auth": "basic", "password": "p"}),
    ("https://data.example.org/a.csv?token=T", "http_files", {"urls": ["https://data.example.org/a.csv"]}),
    (
        "https://docs.google.com/spreadsheets/d/a-b_c/edit#gid=7",
        "http_files",
        {"urls": ["sheet.csv https://docs.google.com/spreadsheets/d/a-b_c/export?format=csv&gid=7"]},
    ),
    (
        "https://github.com/o/r/blob/main/data/x.csv",
        "http_files",
        {"urls": ["https://raw.githubusercontent.com/o/r/main/data/x.csv"]},
    ),
    (
        "https://www.dropbox.com/s/abc/x.csv?dl=0",
        "http_files",
        {"urls": ["x.csv https://www.dropbox.com/s/abc/x.csv?dl=1"]},
    ),
    (
        "https://www.dropbox.com/scl/fi/abc/x.csv?rlkey=k3y&st=1&dl=0",
        "http_files",
        {"urls": ["x.csv https://www.dropbox.com/scl/fi/abc/x.csv?st=1&dl=1"]}
        | {"auth": "parameter", "parameter": "rlkey", "token": "k3y"},
    ),
    (
        "https://onedrive.live.com/download?resid=1&authkey=k3y",
        "http_files",
        {"urls": ["shared.xlsx https://onedrive.live.com/download?resid=1&download=1"]}
        | {"auth": "parameter", "parameter": "authkey", "token": "k3y"},
    ),
]
APIS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "https://api.example.org/v1/Orders?status=any&page=1&per_page=50&api_key=K",
        "rest",
        {"base_url": "https://api.example.org/v1", "streams": ["orders /Orders?status=any"], "pagination": "page"}
        | {"size_parameter": "per_page", "page_size": 50, "auth": "api_key", "key_name": "api_key", "token": "K"},
    ),
    ("https://example.org/api/a?to=https://b.org", "rest", {"streams": ["a /a?to=https%3A%2F%2Fb.org"]}),
    ("https://example.org/api/v2", "rest", {"base_url": "https://example.org/api/v2"}),
    (
        "curl -H 'Authorization: Bearer TOK' -X GET https://example.org/things",
        "rest",
        {"auth": "bearer", "token": "TOK", "streams": ["things /things"]},
    ),
    ("curl -u me:pw https://example.org/api/things", "rest", {"auth": "basic", "user": "me", "password": "pw"}),
    (
        "curl --header 'X-Api-Key: K' https://example.org/api/things",
        "rest",
        {"auth": "api_key", "key_name": "x-api-key", "key_in": "header", "token": "K"},
    ),
    ("https://shop.example.org/admin/api/graphql.json", "graphql", {}),
    (
        "curl -H 'Authorization: Bearer TOK' -X POST https://api.example.org/v1/graphql?tenant=7",
        "graphql",
        {"base_url": "https://api.example.org/v1/graphql?tenant=7", "auth": "bearer", "token": "TOK"},
    ),
    (
        "https://example.org/graphql?api_key=K",
        "graphql",
        {"base_url": "https://example.org/graphql", "auth": "api_key", "key_in": "query", "token": "K"},
    ),
    ("https://example.org/export?id=7", "?http_files", {"urls": ["export.csv https://example.org/export?id=7"]}),
    ("https://example.org/data.json", "?http_files", {}),
    ('{"data": [{"id": 1}], "next_cursor": "x"}', "?uploads", {}),
    ("id,name\n1,Ann\n2,Ben\n", "?uploads", {}),
    ('{"id": 1}\n{"id": 2}\n', "?uploads", {}),
]
NOBODY = [
    "",
    "   ",
    "hello world",
    "jdbc:db2://h:50000/d:user=u;password=p;",
    "gopher://h/1",
    "://",
    "@:/",
    "a=b",
]
TABLE = [*DATABASES, *FILES, *APIS]


@pytest.mark.parametrize(("text", "says", "params"), TABLE, ids=[str(place) for place in range(len(TABLE))])
def test_each_is_told(text: str, says: str, params: dict[str, Any]) -> None:
    found = detection.candidates(Clue(text))
    assert found, text
    first = found[0]
    assert first.connector == says.removeprefix("?")
    assert detection.is_clear(found) is not says.startswith("?")
    assert {**first.params, **first.secrets}.items() >= params.items()
    assert first.reasons
    assert set(first.secrets) <= secret_names(registry.get(first.connector).Params)


@pytest.mark.parametrize("text", NOBODY)
def test_what_nobody_knows_is_nobodys(text: str) -> None:
    assert detection.candidates(Clue(text)) == []


@pytest.mark.parametrize(
    ("sample", "name", "connector"),
    [
        (b"PAR1\x15\x04", "x.parquet", "uploads"),
        (b"PK\x03\x04[Content_Types].xml", "x.xlsx", "uploads"),
        (b"\x1f\x8b\x08", "x.csv.gz", "uploads"),
        ("id;näme\n1;a\n2;b\n".encode("utf-16"), "x.csv", "uploads"),
        (b"SQLite format 3\0\x10", "x.db", "sqlite"),
        (b"12345678DUCK@\0", "x.duckdb", "duckdb"),
        (b'{"items": [{"a": 1}], "next": "n"}', "answer.json", "uploads"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_sample_is_told_by_what_it_begins_with(sample: bytes, name: str, connector: str) -> None:
    assert detection.candidates(Clue(sample=sample, name=name))[0].connector == connector


def test_an_answer_of_an_api_tells_where_its_records_are() -> None:
    found = {each.connector: each for each in detection.candidates(Clue('{"items": [{"a": 1}], "next": "n"}'))}
    assert found["rest"].params == {"records": "items", "pagination": "cursor", "next_path": "next"}
    assert found["rest"].missing == ("base_url", "streams")


def shown(clue: Clue) -> str:
    """Everything of the candidates that may be shown."""
    found = detection.candidates(clue)
    told = [[each.connector, each.reasons, each.params, each.title, each.missing] for each in found]
    return json.dumps(told) + repr(found) + repr(clue)


WORDS = """postgresql:// mysql:// jdbc: https:// s3:// sftp:// curl psql -h -p -H @ : / ? # = ; , ' " [ ] { } <a> host
    dbname Server= Uid= :5432 [::1] %zz %00 api_key= gid=7 .csv .db docs.google.com/spreadsheets/d/ 1e9"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\n", "\t", "\0", "\ud800", "\u0663"])


@given(st.one_of(st.text(max_size=200), st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)))
@example("{" * LONGEST)
@example("[" * 5000 + "\n" + "[" * 5000)
@example("1" * 5000)
@example("curl '")
@example("https://[")
@example("mysql -p")
def test_no_text_breaks_it(text: str) -> None:
    for each in detection.candidates(Clue(text)):
        assert 0 <= each.confidence <= 1
        assert secret_names(registry.get(each.connector).Params).isdisjoint(each.params)


@given(st.binary(max_size=300), st.sampled_from(["", "x.csv", "x.xlsx", "\0"]))
def test_no_sample_breaks_it(sample: bytes, name: str) -> None:
    detection.candidates(Clue(sample=sample, name=name))


LONG = ("a", "a.", "a-", "_", "1", "a ", "a b=", "=", "a=", "a='", "\\'", '"', "[", "s3.", "a@", ":", "/", " ", "a;")


@pytest.mark.parametrize(("before", "after"), [("", ","), ("host=", "'"), ("https://", ","), ("a@", ":")])
def test_no_text_keeps_a_worker_busy(before: str, after: str) -> None:
    """As long as texts may be; where a pattern goes back over what it has read, one of them takes minutes or more.

    The limit is 22 times what this machine takes for a sum: five seconds where that takes 0.23.
    """
    began = time.process_time()
    sum(range(10_000_000))
    most = 22 * (time.process_time() - began)
    for each in LONG:
        text = before + (each * LONGEST)[: LONGEST - len(before) - len(after)] + after
        began = time.process_time()
        detection.candidates(Clue(text))
        assert time.process_time() - began < most, each


CANARY = "canary7f3e9d"
ODD = st.text(st.sampled_from("aZ9!#$%&*+-./:;<>?@^_|~()"), max_size=4)


@given(ODD, ODD, st.sampled_from(["postgresql", "postgres", "mysql", "mariadb", "jdbc:postgresql"]))
def test_a_password_is_in_no_part_that_is_shown(before: str, after: str, scheme: str) -> None:
    """Whether its letters were escaped or not."""
    text = f"{scheme}://reader:{before}{CANARY}{after}@db.example.org/sales"
    assert CANARY not in shown(Clue(text))


@pytest.mark.parametrize(
    "text",
    [
        f"https://data.example.org/orders.csv?token={CANARY}",
        f"https://data.example.org/orders.csv?X-Amz-Signature={CANARY}&X-Amz-Credential={CANARY}",
        f"https://api.example.org/v1/orders?access_token={CANARY}",
        f"https://u:{CANARY}@api.example.org/v1/orders",
        f"curl -H 'Authorization: Token {CANARY}' https://api.example.org/v1/orders",
        f"curl -H 'Cookie: session={CANARY}' https://api.example.org/v1/orders",
        f"curl -u u:{CANARY} https://api.example.org/v1/orders",
        f"Server=h;Database=d;Uid=u;Pwd={CANARY}",
        f"host=h dbname=d password={CANARY}",
        f"mysql -h h -p{CANARY} shop",
        f"DB_HOST=h\nDB_USER=u\nDB_PASSWORD={CANARY}",
        f"sftp://u:{CANARY}@h/in",
        f"nats://{CANARY}@h",
        f"tls://{CANARY}@h:4222",
        f"nats://u:{CANARY}@h",
        f"redis://:{CANARY}@h/0",
    ],
)
def test_no_secret_is_shown_wherever_it_stood(text: str) -> None:
    assert detection.candidates(Clue(text))
    assert CANARY not in shown(Clue(text))


SECRETS = """access_token accessToken api_key apikey auth bearer client_secret clientSecret code connect.sid jwt pass
    password PHPSESSID pw pwd session sid sessionid session_id sig tempauth token X-Amz-Security-Token
    X-Amz-Signature"""
PLACES = """https://data.example.org/orders.csv https://data.example.org/export https://api.example.org/v1/orders
    https://www.dropbox.com/s/abc/x.csv https://my.sharepoint.com/:x:/g/abc https://1drv.ms/x/abc
    https://docs.google.com/spreadsheets/d/abc/edit https://github.com/o/r/raw/main/x.csv https://b.s3.amazonaws.com/x.csv
    https://drive.google.com/file/d/abc/view webdavs://h/dav/x.csv"""


@pytest.mark.parametrize("name", SECRETS.split())
def test_no_secret_parameter_is_shown_whatever_it_is_called(name: str) -> None:
    for place in PLACES.split():
        for query in (f"{name}={CANARY}", f"id=7&{name}={CANARY}&dl=0"):
            found = shown(Clue(f"{place}?{query}"))
            assert found.startswith("[["), place
            assert CANARY not in found, place


def test_a_name_before_a_server_of_nats_is_its_token() -> None:
    (found,) = detection.candidates(Clue(f"nats://{CANARY}@h"))
    assert (found.params, found.secrets) == ({"host": "h"}, {"token": CANARY})
    (found,) = detection.candidates(Clue("nats://u:p@h"))
    assert (found.params, found.secrets) == ({"host": "h", "user": "u"}, {"password": "p"})


def test_parameters_that_only_end_like_secrets_are_kept() -> None:
    found = detection.candidates(Clue("https://api.example.org/v1/orders?country_code=DE&compass=n"))[0]
    assert found.params["streams"] == ["orders /orders?country_code=DE&compass=n"]
    assert not found.secrets
