"""Parameters say when they apply and when they are needed, and every connector keeps to what it says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dataplane.connectors import registry
from dataplane.connectors.conditions import WAY, applies, idle, lacking, meaning, ways
from dataplane.connectors.fields import SECTIONS, fields_of

KEYS = registry.keys()
REST = {"base_url": "https://api.example.org", "streams": ["orders /orders"]}
SFTP = {"host": "files.example.org", "user": "reader"}
AZURE = {"account": "things", "container": "drop"}
NATS = {"host": "queue.example.org"}


def test_it_works() -> None:
    model = registry.get("rest").Params
    assert meaning(model, "token") == "auth is bearer or api_key"
    assert applies(model, "token", {"auth": "bearer"}) and not applies(model, "token", {"auth": "basic"})
    assert lacking(model, "token", {"auth": "bearer"}) and not lacking(model, "token", {"auth": "bearer", "token": "t"})
    assert meaning(registry.get("sftp").Params, "passphrase") == "one signs in with a private key"
    told = registry.get("sftp").Params.model_json_schema()["ways"]
    assert told == [{"way": "password", "title": "a password"}, {"way": "key", "title": "a private key"}], "in order"
    assert meaning(registry.get("kafka").Params, "user") == "sasl is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"


@pytest.mark.parametrize("key", KEYS)
def test_a_condition_names_what_is_there(key: str) -> None:
    model = registry.get(key).Params
    fields = {each.name: each for each in fields_of(model)}
    for each in fields.values():
        assert each.section in SECTIONS
        assert each.kind != "secret" or each.section == "Sign in", each.name
        for condition in (each.only, each.needed):
            for name, values in condition.items():
                known = ways(model) if name == WAY else fields[name].choices or (True, False)
                assert set(values) <= set(known), (each.name, name)
                assert each.name != name
        assert set(each.labels) <= set(each.choices), each.name
        assert not (each.required and each.only), "a field that is always required always applies"
    assert WAY not in fields


@pytest.mark.parametrize("key", [key for key in KEYS if ways(registry.get(key).Params)])
def test_each_way_to_sign_in_has_its_fields_and_one_may_have_none(key: str) -> None:
    model = registry.get(key).Params
    used = {name for each in fields_of(model) for name in each.only.get(WAY, ())}
    assert len(set(ways(model)) - used) <= 1
    assert used <= set(ways(model))


MISSING: list[tuple[str, dict[str, Any], set[str]]] = [
    ("rest", REST | {"auth": "basic", "user": "u"}, {"password"}),
    ("rest", REST | {"auth": "bearer"}, {"token"}),
    ("rest", REST | {"auth": "api_key"}, {"token", "key_name"}),
    ("rest", REST | {"auth": "client_credentials"}, {"token_url", "client_id", "client_secret"}),
    ("rest", REST | {"auth": "authorization_code"}, {"token_url", "client_id", "authorize_url"}),
    ("rest", REST | {"auth": "device_code"}, {"token_url", "client_id", "device_url"}),
    ("rest", REST | {"pagination": "cursor"}, {"next_path"}),
    ("http_files", {"urls": ["https://example.org/a.csv"], "auth": "header"}, {"header", "token"}),
    ("sftp", SFTP, {"password"}),
    ("sftp", SFTP | {"passphrase": "p"}, {"password"}),
    ("s3", {"bucket": "things", "access_key_id": "k", "session_token": "t"}, {"secret_access_key"}),
    ("gcs", {"bucket": "things", "access_key_id": "k"}, {"secret_access_key"}),
    ("azure_blob", AZURE | {"tenant_id": "t"}, {"client_id", "client_secret"}),
    ("kafka", {"servers": ["a:9092"], "sasl": "PLAIN"}, {"user", "password"}),
    ("kafka", {"servers": ["a:9092"], "begin": "time"}, {"begin_at"}),
]


@pytest.mark.parametrize(("key", "params", "missing"), MISSING, ids=lambda each: each if isinstance(each, str) else "")
def test_what_is_needed_is_asked_for_where_it_belongs(key: str, params: dict[str, Any], missing: set[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        registry.get(key).Params.model_validate(params)
    found = {".".join(map(str, each["loc"])): each["msg"] for each in caught.value.errors()}
    assert set(found) == missing
    assert all(text.startswith("Fill it in: it is needed where ") for text in found.values())


IDLE: list[tuple[str, dict[str, Any], list[str]]] = [
    ("rest", REST | {"token": "t", "client_in": "body"}, ["token", "client_in"]),
    ("rest", REST | {"auth": "bearer", "token": "t", "user": ""}, []),
    # The line of a stream may make pages of its own.
    ("rest", REST | {"next_path": "next", "first_page": 0}, []),
    ("sftp", SFTP | {"password": "p", "private_key": "k"}, ["password"]),
    # What may be left out tells no way to sign in.
    ("sftp", SFTP | {"password": "p", "passphrase": "x"}, ["passphrase"]),
    ("s3", {"bucket": "things", "session_token": "t"}, ["session_token"]),
    ("azure_blob", AZURE | {"sas": "sig=x", "authority": "https://login.example.org"}, ["authority"]),
    ("nats_jetstream", NATS | {"user": "u", "token": "t"}, ["user"]),
    ("mongodb", {"host": "h", "database": "d", "auth_database": "users"}, ["auth_database"]),
    ("mongodb", {"host": "h", "database": "d", "user": "u", "auth_database": "users"}, []),
    ("redis_streams", {"host": "h", "certificate": "c"}, ["certificate"]),
    ("ftp", {"host": "h", "tls": "off", "certificate": "ab" * 32}, ["certificate"]),
]


@pytest.mark.parametrize(("key", "params", "unused"), IDLE, ids=lambda each: each if isinstance(each, str) else "")
def test_what_means_nothing_beside_the_others_is_told_and_taken(
    key: str, params: dict[str, Any], unused: list[str]
) -> None:
    model = registry.get(key).Params
    found = model.model_validate(params)
    assert sorted(idle(model, found.model_dump(mode="json"))) == sorted(unused)


@pytest.mark.parametrize("beside", [{}, {"token": "t"}], ids=["alone", "token"])
def test_a_password_of_nats_has_a_user(beside: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Enter the user that the password belongs to"):
        registry.get("nats_jetstream").Params.model_validate(NATS | {"password": "p"} | beside)
