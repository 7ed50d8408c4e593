"""A container of Azure Blob Storage as a place of files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dataplane.connectors import web
from dataplane.connectors.azure_blob.signing import VERSION, signed
from dataplane.connectors.base import Capabilities, FileRef, secret_field
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.files.connector import FileConnector
from dataplane.connectors.files.found import Found, size_told
from dataplane.connectors.files.place import Place
from dataplane.connectors.files.remote import Spool
from dataplane.connectors.files.store import Store, text_of, web_time
from dataplane.errors import ConfigurationError, ManifoldError, TransientError
from dataplane.http import Answer, origin, shown

_BAD_KEYS = ("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation", "InvalidHeaderValue")
_NO_ENTRY = (
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "AuthorizationServiceMismatch",
    "AuthorizationResourceTypeMismatch",
    "InsufficientAccountPermissions",
    "PublicAccessNotPermitted",
)


class AzureBlobParams(BaseModel):
    """Which container, whose it is, and what opens it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: str = Field(min_length=3, max_length=24, title="Storage account", pattern="^[a-z0-9]+$")
    container: str = Field(
        min_length=3, max_length=63, title="Container", pattern=r"^(\$web|\$root|[a-z0-9][a-z0-9-]*)$"
    )
    prefix: str = Field("", title="Folder", description="Only what is below it; empty: the whole container.")
    account_key: str | None = secret_field("Account key", "Of the account. Without it and a signature: public.")
    sas: str | None = secret_field("Shared access signature", "What stands behind the ? of such an address.")
    endpoint: str | None = Field(
        None,
        title="Endpoint",
        description="Of the account, where it is not https://ACCOUNT.blob.core.windows.net.",
    )
    largest_mb: int = Field(10_240, ge=1, title="Largest file", description="In MB.")

    @property
    def largest(self) -> int:
        return self.largest_mb * 1_000_000

    @field_validator("endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                origin(value)
            except ConfigurationError:
                raise ValueError("Write it as https://account.blob.core.windows.net.") from None
            if urlsplit(value).query or urlsplit(value).fragment:
                raise ValueError("Write it without a query.")
        return value.rstrip("/") if value else None

    @field_validator("account_key")
    @classmethod
    def _key(cls, value: str | None) -> str | None:
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("It is no key of an account: such a key is written in base64.") from None
        return value or None

    @field_validator("sas")
    @classmethod
    def _signature(cls, value: str | None) -> str | None:
        bare = (value or "").strip().removeprefix("?")
        if bare and "sig" not in parse_qs(bare):
            raise ValueError("It holds no signature (sig=). Paste what stands behind the ? of the address.")
        if len(bare) > 2_000 or not bare.isascii() or not bare.isprintable() or " " in bare:
            raise ValueError("It is no signature: it holds blanks or letters that no address has, or is too long.")
        return bare or None

    @model_validator(mode="after")
    def _one(self) -> AzureBlobParams:
        if self.account_key and self.sas:
            raise ValueError("Enter the account's key or a shared access signature, not both.")
        return self

    @property
    def base(self) -> str:
        """The address of the container."""
        return f"{self.endpoint or f'https://{self.account}.blob.core.windows.net'}/{self.container}"


class Container(Store):
    """What lies below a folder of a container."""

    kind = "store of Azure"

    def __init__(self, params: AzureBlobParams, networks: Sequence[str]) -> None:
        super().__init__(params.base, params.prefix, networks)
        self._params = params
        self._key = base64.b64decode(params.account_key) if params.account_key else None

    def _entries(self, page: ElementTree.Element) -> Iterator[Found]:
        for each in page.iter("Blob"):
            named, told = each.find("Name"), each.find("Properties")
            # Accounts with folders of their own list these, too.
            if named is None or told is None or text_of(told, "ResourceType") == "directory":
                continue
            name = named.text or ""
            if named.get("Encoded") == "true":
                name = unquote(name)
            version = text_of(told, "Etag").strip('"')
            size = size_told(text_of(told, "Content-Length"))
            yield Found(name, "", size, web_time(text_of(told, "Last-Modified")), f'"{version}"')

    def _asked(self, most: int, after: str) -> str:
        asked = {"restype": "container", "comp": "list", "maxresults": str(most), "prefix": self.folder}
        return self._with_signature(f"{self.base}?{urlencode({**asked, **({'marker': after} if after else {})})}")

    def _object(self, path: str) -> str:
        return self._with_signature(super()._object(path))

    def _with_signature(self, url: str) -> str:
        if not self._params.sas:
            return url
        return f"{url}{'&' if '?' in url else '?'}{self._params.sas}"

    def _next(self, page: ElementTree.Element) -> str | None:
        return text_of(page, "NextMarker") or None

    def _secret(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        if self._key is None:
            return {"x-ms-version": VERSION}
        return signed(url, headers, self._params.account, self._key, datetime.now(UTC))

    def _admitted(self) -> str:
        if self._params.sas:
            return "The signature may list the container."
        return "Everybody may list the container." if self._key is None else "The key may list the container."

    def _refusal(self, path: str, answer: Answer, code: str) -> ManifoldError | None:
        code = answer.headers.get("x-ms-error-code", code)
        container = self._params.container
        evidence = {"container": container, "status": answer.status, **({"code": code} if code else {})}
        if code == "ContainerNotFound" or (answer.status == 404 and not path):
            return ConfigurationError(
                f"There is no container {container} at {shown(self.base)}, or not everybody may list it. Correct "
                "account or container, or enter the key or a signature.",
                code="bucket_missing",
                evidence=evidence,
            )
        if code in _NO_ENTRY:
            return ConfigurationError(
                f"Nobody may read {path or f'the container {container}'} this way ({code}). Correct "
                "the key, give the signature the permissions to read and to list, or let the account's firewall pass "
                "this machine.",
                code="permission_denied",
                evidence=evidence,
            )
        if code in _BAD_KEYS or answer.status in (401, 403):
            return ConfigurationError(
                f"The store does not accept the key or the signature ({code or answer.status}): it is wrong, or has "
                "expired. Enter another one, and see that this machine's clock is right.",
                code="authentication",
                evidence=evidence,
            )
        if code == "BlobArchived":
            return ConfigurationError(
                f"{path} is archived and cannot be read. Move it to another tier, or set it aside.",
                code="file_archived",
                evidence=evidence,
            )
        if code in ("ServerBusy", "OperationTimedOut"):
            return TransientError(
                "The store has been asked for too much and refuses more for now. It is tried again.",
                code="rate_limited",
                evidence=evidence,
            )
        return None


class AzureBlob(FileConnector):
    """A container whose blobs are read like the files of a folder."""

    key = "azure_blob"
    title = "Azure Blob Storage"
    summary = "Files in a container of Azure Blob Storage, by name pattern, whole or only new ones."
    tested_with = "Azurite; no account of Azure was at hand"
    capabilities = Capabilities(full=True, incremental=True, schema_inference=True, resumable=True)
    Params: ClassVar[type[AzureBlobParams]] = AzureBlobParams
    params: AzureBlobParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.container(clue)

    def _place(self, *, sample: bool, within: str | None, known: Sequence[FileRef]) -> Place:
        remote = Container(self.params, self.networks)
        return Spool(remote, sample=sample, within=within, largest=self.params.largest)
