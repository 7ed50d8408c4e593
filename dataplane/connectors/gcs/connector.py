"""A bucket of Google Cloud Storage as a place of files, by the protocol of S3 that it speaks, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from dataplane.connectors import web
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import Stated, signing_in
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.remote import Remote
from dataplane.connectors.files.spooled import Spooled
from dataplane.connectors.files.store import Endpoint
from dataplane.connectors.gcs.account import ServiceAccount
from dataplane.connectors.s3.connector import Bucket, S3Params
from dataplane.connectors.windows import FileRef
from dataplane.oauth import Renewed

GOOGLE = "https://storage.googleapis.com"


class GoogleStorageParams(Stated):
    """Which bucket, and what opens it."""

    model_config = signing_in(
        {"public": "nothing: everybody may read it", "account": "the key of a service account", "hmac": "an HMAC key"}
    )

    bucket: str = Field(min_length=3, max_length=222, title="Bucket", pattern="^[a-z0-9][a-z0-9._-]*[a-z0-9]$")
    prefix: str = Field("", title="Folder", description="Only what is below it; empty: the whole bucket.")
    service_account: str | None = secret_field(
        "Key of a service account",
        "The whole JSON file. Without it and an HMAC key: a bucket that everybody may read.",
        multiline=True,
        only={"way": ["account"]},
        needed=True,
    )
    access_key_id: str | None = Field(
        None,
        title="Access key",
        description="Of an HMAC key.",
        json_schema_extra=said("Sign in", only={"way": ["hmac"]}, needed=True),
    )
    secret_access_key: str | None = secret_field("Secret", "Of the HMAC key.", only={"way": ["hmac"]}, needed=True)
    endpoint: Endpoint = Field(None, title="Endpoint", description=f"Where it is not {GOOGLE}.")
    largest_mb: int = Field(10_240, ge=1, title="Largest file, in MB", json_schema_extra=said("Limits"))

    @field_validator("service_account")
    @classmethod
    def _json(cls, value: str | None) -> str | None:
        if value and value.strip():
            ServiceAccount.parse(value)
            return value
        return None

    @model_validator(mode="after")
    def _one(self) -> GoogleStorageParams:
        if self.access_key_id and self.service_account:
            raise ValueError("Enter the key of a service account or an HMAC key, not both.")
        return self

    @property
    def place(self) -> S3Params:
        """The bucket in the words of S3."""
        # S3's own rules for names are narrower than Google's, which were looked at above.
        checked = S3Params(bucket="bucket", prefix=self.prefix, region="auto", endpoint=self.endpoint or GOOGLE)
        return checked.model_copy(
            update={
                "bucket": self.bucket,
                "access_key_id": self.access_key_id,
                "secret_access_key": self.secret_access_key,
            }
        )


class GoogleBucket(Bucket):
    """A bucket that a service account opens, too."""

    kind = "store of Google's"
    grants = "storage.objects.list and storage.objects.get (the role Storage Object Viewer)"

    def __init__(self, params: GoogleStorageParams, networks: Sequence[str]) -> None:
        super().__init__(params.place, networks)
        account = ServiceAccount.parse(params.service_account) if params.service_account else None
        self._email = account.email if account else ""
        self._token = Renewed(lambda: account.tokens(self.http)) if account else None

    def _secret(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        if self._token is None:
            return super()._secret(url, headers)
        return {"Authorization": f"Bearer {self._token.text}"}

    def _admitted(self) -> str:
        return f"{self._email} may list the bucket." if self._email else super()._admitted()


class GoogleStorage(Spooled):
    """A bucket whose objects are read like the files of a folder."""

    key = "gcs"
    title = "Google Cloud Storage"
    summary = "Files in a bucket of Google Cloud Storage, by name pattern, whole or only new ones."
    tested_with = "moto, which speaks the same protocol; no bucket of Google was at hand"
    Params: ClassVar[type[GoogleStorageParams]] = GoogleStorageParams
    params: GoogleStorageParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.google_bucket(clue)

    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        return GoogleBucket(self.params, self.networks)
