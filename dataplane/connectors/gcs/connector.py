"""A bucket of Google Cloud Storage as a place of files, by the protocol of S3 that it speaks, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dataplane.connectors import web
from dataplane.connectors.base import Capabilities, FileRef, secret_field
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.remote import Spool
from dataplane.connectors.gcs.account import ServiceAccount
from dataplane.connectors.s3.connector import Bucket, S3Params

GOOGLE = "https://storage.googleapis.com"


class GoogleStorageParams(BaseModel):
    """Which bucket, and what opens it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(min_length=3, max_length=222, title="Bucket", pattern="^[a-z0-9][a-z0-9._-]*[a-z0-9]$")
    prefix: str = Field("", title="Folder", description="Only what is below it; empty: the whole bucket.")
    service_account: str | None = secret_field(
        "Key of a service account",
        "The whole JSON file. Without it and an HMAC key: a bucket that everybody may read.",
    )
    access_key_id: str | None = Field(None, title="Access key", description="Of an HMAC key.")
    secret_access_key: str | None = secret_field("Secret", "Of the HMAC key.")
    endpoint: str | None = Field(None, title="Endpoint", description=f"Where it is not {GOOGLE}.")
    largest_mb: int = Field(10_240, ge=1, title="Largest file", description="In MB.")

    @field_validator("service_account")
    @classmethod
    def _json(cls, value: str | None) -> str | None:
        if value and value.strip():
            ServiceAccount.parse(value)
            return value
        return None

    @model_validator(mode="after")
    def _one(self) -> GoogleStorageParams:
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValueError("Enter the access key together with its secret, or neither.")
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
                "largest_mb": self.largest_mb,
            }
        )


class GoogleBucket(Bucket):
    """A bucket that a service account opens, too."""

    kind = "store of Google's"
    grants = "storage.objects.list and storage.objects.get (the role Storage Object Viewer)"

    def __init__(self, params: GoogleStorageParams, networks: Sequence[str]) -> None:
        super().__init__(params.place, networks)
        self._account = ServiceAccount.parse(params.service_account) if params.service_account else None

    def _secret(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        if self._account is None:
            return super()._secret(url, headers)
        return {"Authorization": f"Bearer {self._account.token(self.http)}"}

    def _admitted(self) -> str:
        if self._account is None:
            return super()._admitted()
        return f"{self._account.email} may list the bucket."


class GoogleStorage(FileConnector):
    """A bucket whose objects are read like the files of a folder."""

    key = "gcs"
    title = "Google Cloud Storage"
    summary = "Files in a bucket of Google Cloud Storage, by name pattern, whole or only new ones."
    tested_with = "moto, which speaks the same protocol; no bucket of Google was at hand"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    Params: ClassVar[type[GoogleStorageParams]] = GoogleStorageParams
    params: GoogleStorageParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.google_bucket(clue)

    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        remote = GoogleBucket(self.params, self.networks)
        return Spool(remote, sample=sample, within=within, largest=self.params.place.largest)
