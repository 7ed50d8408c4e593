"""What is declared of an API: its address, how one is let in, its limits, and its streams, one a line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from dataplane.connectors.fields import secret_field
from dataplane.errors import ConfigurationError
from dataplane.http import origin
from dataplane.oauth import App

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Path = Annotated[str, StringConstraints(pattern=r'^[^\s"*\[\]]+$')]
Parameter = Annotated[str, StringConstraints(pattern=r"^[^\s=&#]+$")]

_NEEDED = {
    "none": (),
    "basic": ("user", "password"),
    "bearer": ("token",),
    "api_key": ("key_name", "token"),
    "client_credentials": ("token_url", "client_id", "client_secret"),
    "authorization_code": ("authorize_url", "token_url", "client_id"),
    "device_code": ("device_url", "token_url", "client_id"),
}

GRANTED = ("authorization_code", "device_code")
"""The ways of signing in for which somebody has to consent."""


SinceFormat = Literal["iso", "date", "seconds", "milliseconds"]


class Stated(BaseModel):
    """Parameters, none of them unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Declared(Protocol):
    """What every stream of an API says of itself, however it is asked for."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def records(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def since_format(self) -> SinceFormat: ...


class Asking(Stated):
    """How a stream is asked for; a source says it for all its streams, and the line of a stream otherwise."""

    records: Path | None = Field(
        None,
        title="Path of the records",
        description="Where they stand in an answer, such as data.items. Empty: it is them.",
    )
    pagination: Literal["none", "page", "offset", "cursor", "last", "link"] = Field(
        "none",
        title="Pages",
        description="By number, by offset, by a cursor in the answer, by the last record, or by the header Link.",
    )
    page_parameter: Parameter | None = Field(
        None, title="Parameter of the page", description="Empty: page, offset or cursor, as the pages are."
    )
    first_page: int = Field(1, ge=0, le=1, title="Number of the first page")
    size_parameter: Parameter | None = Field(None, title="Parameter of the page's size", description="Such as limit.")
    page_size: int = Field(100, ge=1, le=100_000, title="Records a page", description="Where its size has a parameter.")
    next_path: Path | None = Field(
        None,
        title="Path of the next cursor",
        description="For cursor: where an answer holds it, such as meta.next. It may be a whole address, too. For "
        "last: where a record holds what the next page is asked for with, such as id.",
    )
    more_path: Path | None = Field(
        None,
        title="Path of whether there are more",
        description="For cursor and last: where an answer says so, such as has_more.",
    )
    since_parameter: Parameter | None = Field(
        None,
        title="Parameter of an incremental read",
        description="Asks for records from a cursor's value on, such as updated_since. Empty: everything is asked for.",
    )
    since_format: SinceFormat = Field(
        "iso", title="Written as", description="For cursors that are times; others are written as they are."
    )
    key: str | None = Field(None, title="Key", description="The columns that tell a record, with + between them.")

    @model_validator(mode="after")
    def _next(self) -> Asking:
        if self.pagination == "cursor" and not self.next_path:
            raise ValueError("Pages by cursor need next_path: where an answer holds the next cursor.")
        if self.pagination == "last" and not self.next_path:
            raise ValueError("Pages by the last record need next_path: where a record holds its id.")
        return self

    @property
    def parameter(self) -> str:
        """The parameter that asks for a page."""
        return self.page_parameter or self.pagination


class Endpoint(Asking):
    """One stream."""

    name: str
    path: str

    @property
    def title(self) -> str:
        return self.path.partition("?")[0]


class Address(Stated):
    """Where the API is."""

    base_url: Line = Field(
        title="Address", description="What the paths of all streams begin with, such as https://api.example.org/v1"
    )

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return _address(value)


class Streams(Stated):
    """What is read of it."""

    streams: tuple[Line, ...] = Field(
        min_length=1,
        max_length=200,
        title="Streams",
        description="One a line: its name and its path, such as orders /orders?status=any. What differs from the "
        "fields below follows: orders /orders records=data.orders since_parameter=updated_since key=id",
    )


class Access(Stated):
    """How one is let in."""

    auth: Literal["none", "basic", "bearer", "api_key", "client_credentials", "authorization_code", "device_code"] = (
        Field(
            "none",
            title="Sign in with",
            description="With authorization_code or device_code (OAuth 2) somebody connects it once it is saved.",
        )
    )
    user: str | None = Field(None, title="User", description="For basic.")
    password: str | None = secret_field("Password", "For basic.")
    token: str | None = secret_field("Token or key", "For bearer and api_key.")
    key_name: str | None = Field(
        None, title="Name of the key", description="For api_key, such as X-Api-Key.", pattern="^[A-Za-z0-9_.-]+$"
    )
    key_in: Literal["header", "query"] = Field("header", title="The key is sent in the")
    token_url: str | None = Field(
        None, title="Address of the token", description="For OAuth 2: where a token is asked for."
    )
    authorize_url: str | None = Field(
        None,
        title="Address of the consent",
        description="For authorization_code: where somebody consents. With the client there is registered that they "
        "come back to /oauth/callback of this installation.",
    )
    device_url: str | None = Field(
        None, title="Address of the device code", description="For device_code: where a code to enter is asked for."
    )
    client_id: str | None = Field(None, title="Client", description="For OAuth 2.")
    client_secret: str | None = secret_field("Client's secret", "For OAuth 2; clients that are public have none.")
    client_in: Literal["header", "body"] = Field(
        "header", title="The secret goes into the", description="For OAuth 2, as the server wants it."
    )
    scope: str | None = Field(None, title="Scope", description="For OAuth 2, where it is asked for.")
    headers: tuple[Line, ...] = Field(
        (), max_length=50, title="Headers", description="One a line, such as Accept: application/json. No secrets."
    )

    @field_validator("token_url", "authorize_url", "device_url")
    @classmethod
    def _oauth_url(cls, value: str | None) -> str | None:
        return None if value is None else _address(value)

    @field_validator("headers")
    @classmethod
    def _headers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        headers_of(value)
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in _NEEDED[self.auth] if not getattr(self, name)]
        if missing:
            raise ValueError(f"To sign in with {self.auth}, fill in {' and '.join(missing)}.")
        return self

    @property
    def app(self) -> App:
        """What the server of tokens knows this source as."""
        return App(
            str(self.token_url),
            str(self.client_id),
            self.client_secret or "",
            self.client_in == "body",
            self.scope or "",
        )


class Session(Access, Address):
    """What every session with an API needs, and how much is asked of the API, and of whoever waits for it, at most."""

    most_pages: int = Field(100_000, ge=1, le=10_000_000, title="Most pages of one read")
    largest_mb: int = Field(16, ge=1, le=16, title="Largest answer, in MB")
    most_seconds: int = Field(120, ge=1, le=3_600, title="Longest answer, in seconds")
    most_wait: int = Field(
        300,
        ge=0,
        le=3_600,
        title="Longest wait, in seconds",
        description="A server that asks for more patience fails the step, and perhaps the run.",
    )

    @property
    def largest(self) -> int:
        return self.largest_mb * 1_000_000


class RestParams(Session, Asking, Access, Streams, Address):
    """The parameters of a source. A form shows the fields of the last base first."""

    @model_validator(mode="after")
    def _declared(self) -> Self:
        self.endpoints()
        return self

    def endpoints(self) -> dict[str, Endpoint]:
        """The streams by name. Raises ValueError for a line that is none."""
        shared = {name: getattr(self, name) for name in Asking.model_fields}
        found: dict[str, Endpoint] = {}
        for line in self.streams:
            endpoint = _endpoint(line, shared)
            if endpoint.name in found:
                raise ValueError(f"Two streams are called {endpoint.name}. Give one another name.")
            self.url(endpoint)
            found[endpoint.name] = endpoint
        return found

    def url(self, endpoint: Endpoint) -> str:
        """The address of a stream. Raises ValueError where it is none."""
        url = self.base_url.rstrip("/") + endpoint.path
        try:
            origin(url)
        except ConfigurationError as error:
            raise ValueError(f"{endpoint.name}: {error.message}") from None
        return url


def headers_of(lines: Sequence[str]) -> dict[str, str]:
    """Headers by name. Raises ValueError for a line that is none."""
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip().replace("-", "").isalnum() or not value.isprintable() or not line.isascii():
            raise ValueError(f"{name!r} is no header. Write it like Accept: application/json")
        found[name.strip()] = value.strip()
    return found


def differing(name: str, words: Sequence[str], fields: Collection[str]) -> dict[str, Any]:
    """What the line of a stream says otherwise than its source. Raises ValueError for a word that says nothing."""
    told: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in fields:
            raise ValueError(f"{name}: {word!r} is none of {', '.join(fields)}. Write it like records=data")
        told[key] = value or None
    return told


def first_said(name: str, error: ValidationError) -> ValueError:
    """What is wrong with a stream first, in the words that were meant for people."""
    first = error.errors(include_input=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    return ValueError(f"{name}: {place}{': ' if place else ''}{first['msg'].removeprefix('Value error, ')}")


def _address(value: str) -> str:
    try:
        origin(value)
    except ConfigurationError as error:
        raise ValueError(error.message) from None
    return value


def _endpoint(line: str, shared: dict[str, Any]) -> Endpoint:
    name, _, rest = line.partition(" ")
    path, *words = rest.split() or [""]
    if not path.startswith("/"):
        raise ValueError(f"The line {line!r} is no stream. Write a name and a path, such as orders /orders")
    told = differing(name, words, Asking.model_fields)
    try:
        return Endpoint.model_validate({**shared, **told, "name": name, "path": path})
    except ValidationError as error:
        raise first_said(name, error) from None
