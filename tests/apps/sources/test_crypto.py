"""Credentials at rest: they open where they belong and nowhere else."""

from __future__ import annotations

import base64
import io
import uuid
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts import crypto
from apps.accounts.models import Project
from apps.audit.context import SYSTEM
from apps.sources import services
from apps.sources.models import Credential
from dataplane.errors import ConfigurationError

OLD, NEW = (base64.b64encode(bytes([each] * 32)).decode() for each in (1, 2))
ROW = uuid.UUID(int=7)
TABLE = "sources_credential"


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=200), max_size=3))
def test_it_opens_what_it_sealed(secrets: dict[str, str]) -> None:
    keys = crypto.Keys(OLD)
    sealed, version = crypto.seal(ROW, secrets, keys, TABLE)
    assert version == 1
    assert crypto.unseal(ROW, sealed, version, keys, TABLE) == secrets
    assert sealed != crypto.seal(ROW, secrets, keys, TABLE)[0] or not secrets


def test_a_ciphertext_opens_only_where_it_belongs() -> None:
    keys = crypto.Keys(f"2:{NEW},1:{OLD}")
    sealed, version = crypto.seal(ROW, {"password": "p", "token": "t"}, keys, TABLE)
    swapped = {"password": sealed["token"], "token": sealed["password"]}
    altered = {"password": base64.b64encode(base64.b64decode(sealed["password"])[:-1] + b"\0").decode()}
    for row, stored, key_version in [
        (ROW, swapped, version),
        (uuid.UUID(int=8), sealed, version),
        (ROW, sealed, 1),
        (ROW, altered, version),
        (ROW, {"password": "not base64!"}, version),
        (ROW, {"password": ""}, version),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            crypto.unseal(row, stored, key_version, keys, TABLE)
        assert caught.value.code == "credential_unreadable"


def test_the_newest_key_encrypts_and_older_ones_open() -> None:
    sealed, version = crypto.seal(ROW, {"password": "p"}, crypto.Keys(OLD), TABLE)
    both = crypto.Keys(f"2:{NEW}, 1:{OLD}")
    assert both.current() == 2
    assert crypto.unseal(ROW, sealed, version, both, TABLE) == {"password": "p"}
    with pytest.raises(ConfigurationError, match="version 1 is not there"):
        crypto.unseal(ROW, sealed, version, crypto.Keys(f"2:{NEW}"), TABLE)


@pytest.mark.parametrize("text", ["", " , ", "short", "x:" + OLD, "0:" + OLD, base64.b64encode(b"a" * 31).decode()])
def test_a_key_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        crypto.Keys(text)
    assert caught.value.code in ("master_key_missing", "master_key_invalid")
    assert not text.strip(" ,") or text not in caught.value.message


def test_rotation_encrypts_row_by_row_and_is_harmless_when_repeated(project: Project, settings: Any) -> None:
    settings.MASTER_KEY = lambda: OLD
    made = [
        services.create_credential(
            project, slug=f"c{place}", connector="postgresql", secrets={"password": f"p{place}"}, actor=SYSTEM
        )
        for place in range(3)
    ]
    settings.MASTER_KEY = lambda: f"2:{NEW},1:{OLD}"
    assert services.rotate_credentials(actor=SYSTEM) == 3
    assert services.rotate_credentials(actor=SYSTEM) == 0
    settings.MASTER_KEY = lambda: f"2:{NEW}"
    for place, each in enumerate(made):
        row = Credential.objects.get(pk=each.pk)
        assert (row.key_version, services.opened(row)) == (2, {"password": f"p{place}"})


def test_the_command_rotates_and_names_a_key_that_is_gone(project: Project, settings: Any) -> None:
    settings.MASTER_KEY = lambda: OLD
    services.create_credential(project, slug="c", connector="postgresql", secrets={"password": "p"}, actor=SYSTEM)
    settings.MASTER_KEY = lambda: f"2:{NEW}"
    with pytest.raises(CommandError, match="version 1 is not there"):
        call_command("rotate_credentials")
    settings.MASTER_KEY = lambda: f"2:{NEW},1:{OLD}"
    said = io.StringIO()
    call_command("rotate_credentials", stdout=said)
    assert said.getvalue() == "1 credentials are encrypted under the newest key now.\n"
    assert Credential.objects.get().key_version == 2


def test_a_ciphertext_copied_to_another_row_does_not_open(project: Project) -> None:
    mine, theirs = (
        services.create_credential(project, slug=slug, connector="postgresql", secrets={"password": slug}, actor=SYSTEM)
        for slug in ("mine", "theirs")
    )
    Credential.objects.filter(pk=mine.pk).update(secrets=theirs.secrets)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        services.opened(Credential.objects.get(pk=mine.pk))
