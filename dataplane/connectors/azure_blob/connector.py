"""A container of Azure Blob Storage as a place of files."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlencode
from xml.etree import ElementTree

from pydantic import Field, field_validator, model_validator

from dataplane import oauth
from dataplane.connectors import web
from dataplane.connectors.azure_blob.signing import VERSION, signed
from dataplane.connectors.clues import Clue, Guess
from dataplane.connectors.conditions import Stated, signing_in
from dataplane.connectors.fields import said, secret_field
from dataplane.connectors.files.found import Found, size_told
from dataplane.connectors.files.remote import Remote
from dataplane.connectors.files.spooled import Spooled
from dataplane.connectors.files.store import Endpoint, Refusal, Store, text_of, web_time
from dataplane.connectors.windows import FileRef
from dataplane.http import Answer, shown
from dataplane.oauth import App, Renewed

_ENTRA = "https://login.microsoftonline.com"
_APPLICATION = {"way": ["application"]}
_SCOPE = "https://storage.azure.com/.default"
_BAD_KEYS = ("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation", "InvalidHeaderValue")
_NO_ENTRY = (
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "AuthorizationServiceMismatch",
    "AuthorizationResourceTypeMismatch",
    "InsufficientAccountPermissions",
    "PublicAccessNotPermitted",
)


class AzureBlobParams(Stated):
    """Which container, whose it is, and what opens it."""

    model_config = signing_in(
        {
            "public": "nothing: everybody may read it",
            "key": "the account's key",
            "sas": "a shared access signature",
            "application": "an application (Microsoft Entra ID)",
        }
    )

    account: str = Field(min_length=3, max_length=24, title="Storage account", pattern="^[a-z0-9]+$")
    container: str = Field(
        min_length=3, max_length=63, title="Container", pattern=r"^(\$web|\$root|[a-z0-9][a-z0-9-]*)$"
    )
    prefix: str = Field("", title="Folder", description="Only what is below it; empty: the whole container.")
    account_key: str | None = secret_field(
        "Account key",
        "Of the account. Without it, a signature or an application: public.",
        only={"way": ["key"]},
        needed=True,
    )
    sas: str | None = secret_field(
        "Shared access signature", "What stands behind the ? of such an address.", only={"way": ["sas"]}, needed=True
    )
    tenant_id: str | None = Field(
        None,
        title="Tenant",
        pattern="^[A-Za-z0-9.-]+$",
        description="Of an application in Microsoft Entra ID that has the role Storage Blob Data Reader.",
        json_schema_extra=said("Sign in", only=_APPLICATION, needed=True),
    )
    client_id: str | None = Field(
        None,
        title="Application (client)",
        pattern="^[A-Za-z0-9.-]+$",
        json_schema_extra=said("Sign in", only=_APPLICATION, needed=True),
    )
    client_secret: str | None = secret_field("Client secret", "Of the application.", only=_APPLICATION, needed=True)
    authority: Endpoint = Field(
        None,
        title="Sign-in address",
        description=f"Of the application, where it is not {_ENTRA}.",
        json_schema_extra=said("Sign in", only=_APPLICATION),
    )
    endpoint: Endpoint = Field(
        None,
        title="Endpoint",
        description="Of the account, where it is not https://ACCOUNT.blob.core.windows.net.",
    )
    largest_mb: int = Field(10_240, ge=1, title="Largest file, in MB", json_schema_extra=said("Limits"))

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
        if sum(map(bool, (self.account_key, self.sas, self.client_secret))) > 1:
            raise ValueError("Enter one of the account's key, a shared access signature and an application.")
        return self

    @property
    def app(self) -> App | None:
        """The application that asks for tokens, where there is one."""
        if not self.client_id or not self.client_secret:
            return None
        token_url = f"{self.authority or _ENTRA}/{self.tenant_id}/oauth2/v2.0/token"
        return App(token_url, self.client_id, self.client_secret, in_body=True, scope=_SCOPE)

    @property
    def base(self) -> str:
        """The address of the container."""
        return f"{self.endpoint or f'https://{self.account}.blob.core.windows.net'}/{self.container}"


class Container(Store):
    """What lies below a folder of a container."""

    kind = "store of Azure"
    busy = ("ServerBusy", "OperationTimedOut")

    def __init__(self, params: AzureBlobParams, networks: Sequence[str]) -> None:
        super().__init__(params.base, params.prefix, networks)
        self._params = params
        self._key = base64.b64decode(params.account_key) if params.account_key else None
        app = params.app
        self._token = Renewed(lambda: oauth.by_client(self.http, app)) if app else None

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
        if self._token:
            return {"x-ms-version": VERSION, "Authorization": f"Bearer {self._token.text}"}
        if self._key is None:
            return {"x-ms-version": VERSION}
        return signed(url, headers, self._params.account, self._key, datetime.now(UTC))

    def _admitted(self) -> str:
        if self._params.sas or self._token:
            return f"The {'application' if self._token else 'signature'} may list the container."
        return "Everybody may list the container." if self._key is None else "The key may list the container."

    def _code(self, answer: Answer) -> str:
        return answer.headers.get("x-ms-error-code") or super()._code(answer)

    def _refusal(self, path: str, answer: Answer, code: str) -> Refusal | None:
        container = self._params.container
        if code == "ContainerNotFound" or (answer.status == 404 and not path):
            return "bucket_missing", (
                f"There is no container {container} at {shown(self.base)}, or not everybody may list it. Correct "
                "account or container, or enter the key, a signature or an application."
            )
        if code in _NO_ENTRY:
            return "permission_denied", (
                f"Nobody may read {path or f'the container {container}'} this way ({code}). Correct the key, give the "
                "signature the permissions to read and to list, or the application the role Storage Blob Data Reader, "
                "or let the account's firewall pass this machine."
            )
        if code in _BAD_KEYS or answer.status in (401, 403):
            return "authentication", (
                f"The store does not accept the key, the signature or the application ({code or answer.status}): it "
                "is wrong, or has expired. Enter another one, and see that this machine's clock is right."
            )
        if code == "BlobArchived":
            return "file_archived", (
                f"{path} is archived and cannot be read. Move it to another tier, or set it aside."
            )
        return None


class AzureBlob(Spooled):
    """A container whose blobs are read like the files of a folder."""

    key = "azure_blob"
    title = "Azure Blob Storage"
    summary = "Files in a container of Azure Blob Storage, by name pattern, whole or only new ones."
    tested_with = "Azurite; no account of Azure was at hand"
    Params: ClassVar[type[AzureBlobParams]] = AzureBlobParams
    params: AzureBlobParams

    @classmethod
    def recognise(cls, clue: Clue) -> Guess | None:
        return web.container(clue)

    def _remote(self, *, sample: bool, known: Sequence[FileRef]) -> Remote:
        return Container(self.params, self.networks)
