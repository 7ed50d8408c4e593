"""A bucket of S3, or of a store that speaks its protocol, as a place of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import unquote_plus, urlsplit
from xml.etree import ElementTree

from pydantic import Field

from dataplane.connectors import web
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import Stated, signing_in
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.found import Found, size_told
from dataplane.connectors.files.remote import Remote
from dataplane.connectors.files.spooled import Spooled
from dataplane.connectors.files.store import Endpoint, Refusal, Store, text_of
from dataplane.connectors.s3.signing import keys_of, query, signed
from dataplane.connectors.windows import FileRef
from dataplane.http import Answer, shown

_BAD_KEYS = (
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidToken",
)


class S3Params(Stated):
    """Which bucket, where it is, and whose keys open it."""

    model_config = signing_in({"public": "nothing: everybody may read it", "keys": "an access key"})

    bucket: str = Field(min_length=3, max_length=63, title="Bucket", pattern="^[a-z0-9][a-z0-9.-]*[a-z0-9]$")
    prefix: str = Field(
        "", title="Folder", description="Only what is below it; empty: the whole bucket.", examples=["incoming/daily"]
    )
    region: str = Field("us-east-1", min_length=1, title="Region", pattern="^[a-z0-9-]+$")
    endpoint: Endpoint = Field(
        None,
        title="Endpoint",
        description="Of a store that is not Amazon's, such as https://minio.example.org:9000.",
        examples=["https://minio.example.org:9000"],
    )
    path_style: bool = Field(True, title="The bucket stands in the path, not in the host's name")
    access_key_id: str | None = Field(
        None,
        title="Access key",
        description="Without keys: a bucket that everybody may read.",
        json_schema_extra=said("Sign in", only={"way": ["keys"]}, needed=True),
    )
    secret_access_key: str | None = secret_field("Secret key", only={"way": ["keys"]}, needed=True)
    session_token: str | None = secret_field("Session token", "Of temporary keys.", only={"way": ["keys"]})
    largest_mb: int = Field(10_240, ge=1, title="Largest file, in MB", json_schema_extra=said("Limits"))

    @property
    def base(self) -> str:
        """The address of the bucket."""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        if self.path_style:
            return f"{endpoint}/{self.bucket}"
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{self.bucket}.{parts.netloc}{parts.path}"


class Bucket(Store):
    """What lies below the prefix of a bucket."""

    kind = "S3 store"
    busy = ("SlowDown",)
    grants: ClassVar[str] = "s3:ListBucket and s3:GetObject"

    def __init__(self, params: S3Params, networks: Sequence[str]) -> None:
        super().__init__(params.base, params.prefix, networks)
        self._bucket, self._region = params.bucket, params.region
        self._keys = keys_of(params.access_key_id, params.secret_access_key, params.session_token)

    def _entries(self, page: ElementTree.Element) -> Iterator[Found]:
        for each in page.iter("Contents"):
            changed_at = _seconds(text_of(each, "LastModified"))
            name = unquote_plus(text_of(each, "Key"))
            yield Found(name, "", size_told(text_of(each, "Size")), changed_at, text_of(each, "ETag"))

    def _asked(self, most: int, after: str) -> str:
        asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(most), "prefix": self.folder}
        return f"{self.base}/?{query({**asked, **({'continuation-token': after} if after else {})})}"

    def _next(self, page: ElementTree.Element) -> str | None:
        return text_of(page, "NextContinuationToken") if text_of(page, "IsTruncated") == "true" else None

    def _secret(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        return signed(url, self._keys, self._region, datetime.now(UTC)) if self._keys else {}

    def _admitted(self) -> str:
        return "Everybody may list the bucket." if self._keys is None else "The keys may list the bucket."

    def _refusal(self, path: str, answer: Answer, code: str) -> Refusal | None:
        region = answer.headers.get("x-amz-bucket-region", "")
        if code == "NoSuchBucket" or (answer.status == 404 and not path):
            said = f"There is no bucket {self._bucket} at {shown(self.base)}. Correct bucket, region or endpoint."
            return "bucket_missing", said
        if answer.status in (301, 307, 400) and region and region != self._region:
            return "region", f"The bucket {self._bucket} is in the region {region}. Correct the region of the source."
        if code in _BAD_KEYS:
            said = f"The store does not accept the keys ({code}). Correct the access key and the secret key."
            return "authentication", said
        if answer.status in (401, 403):
            what = path or f"the bucket {self._bucket}"
            return "permission_denied", f"The keys may not read {what}. Grant {self.grants}."
        return None


class S3(Spooled):
    """A bucket whose objects are read like the files of a folder."""

    key = "s3"
    title = "S3 and compatible stores"
    summary = "Files in a bucket of Amazon S3, MinIO, Ceph, R2 and the like, by name pattern, whole or only new ones."
    tested_with = "moto; no bucket of Amazon, MinIO or Ceph was at hand"
    Params: ClassVar[type[S3Params]] = S3Params
    params: S3Params

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.bucket(clue)

    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        return Bucket(self.params, self.networks)


def _seconds(text: str) -> int:
    """Nanoseconds of a listed time, to the second: an object's own headers tell no more."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0
