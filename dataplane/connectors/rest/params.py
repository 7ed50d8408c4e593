"""What is declared of an API: its address, how one is let in, its limits, and its streams, one a line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from dataplane.connectors.conditions import Stated
from dataplane.connectors.fields import said, secret_field
from dataplane.errors import ConfigurationError
from dataplane.http import origin
from dataplane.oauth import App

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Path = Annotated[str, StringConstraints(pattern=r'^[^\s"*\[\]]+$')]
Parameter = Annotated[str, StringConstraints(pattern=r"^[^\s=&#]+$")]

_BASIC = {"auth": ["basic"]}
_TOKEN = {"auth": ["bearer", "api_key"]}
_KEY = {"auth": ["api_key"]}
_OAUTH = {"auth": ["client_credentials", "authorization_code", "device_code"]}

GRANTED = ("authorization_code", "device_code")
"""The ways of signing in for which somebody has to consent."""


SinceFormat = Literal["iso", "date", "seconds", "milliseconds"]
SINCE_FORMATS = {
    "iso": "a time: 2026-01-31T08:00:00Z",
    "date": "a day: 2026-01-31",
    "seconds": "seconds since 1970",
    "milliseconds": "milliseconds since 1970",
}


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
        json_schema_extra=said("Reading"),
    )
    pagination: Literal["none", "page", "offset", "cursor", "last", "link"] = Field(
        "none",
        title="Pages",
        description="By number, by offset, by a cursor in the answer, by the last record, or by the header Link.",
        json_schema_extra=said(
            "Paging",
            labels={
                "none": "all records come at once",
                "page": "by number: page=2",
                "offset": "by how many to skip: offset=100",
                "cursor": "by a cursor in each answer",
                "last": "by the last record of a page",
                "link": "by the header Link",
            },
        ),
    )
    page_parameter: Parameter | None = Field(
        None,
        title="Parameter of the page",
        description="Empty: page, offset or cursor, as the pages are.",
        json_schema_extra=said("Paging", only={"pagination": ["page", "offset", "cursor", "last"]}),
    )
    first_page: int = Field(
        1,
        ge=0,
        le=1,
        title="Number of the first page",
        json_schema_extra=said("Paging", only={"pagination": ["page"]}),
    )
    size_parameter: Parameter | None = Field(
        None,
        title="Parameter of the page's size",
        description="Such as limit. Empty: a page is as long as the API makes it.",
        json_schema_extra=said("Paging"),
    )
    page_size: int = Field(
        100,
        ge=1,
        le=100_000,
        title="Records a page",
        json_schema_extra=said("Paging", only={"size_parameter": []}),
    )
    next_path: Path | None = Field(
        None,
        title="Path of the next cursor",
        description="For cursor: where an answer holds it, such as meta.next. It may be a whole address, too. For "
        "last: where a record holds what the next page is asked for with, such as id.",
        json_schema_extra=said("Paging", only={"pagination": ["cursor", "last"]}, needed=True),
    )
    more_path: Path | None = Field(
        None,
        title="Path of whether there are more",
        description="Where an answer says so, such as has_more. Empty: pages end where there is no next one.",
        json_schema_extra=said("Paging", only={"pagination": ["cursor", "last"]}),
    )
    since_parameter: Parameter | None = Field(
        None,
        title="Parameter of an incremental read",
        description="Asks for records from a cursor's value on, such as updated_since. Empty: everything is asked for.",
        json_schema_extra=said("Reading"),
    )
    since_format: SinceFormat = Field(
        "iso",
        title="Its values are written as",
        description="For cursors that are times; others are written as they are.",
        json_schema_extra=said("Reading", only={"since_parameter": []}, labels=SINCE_FORMATS),
    )
    key: str | None = Field(
        None,
        title="Key",
        description="The columns that tell a record, with + between them.",
        json_schema_extra=said("Reading"),
    )

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
        title="Address",
        description="What the paths of all streams begin with, such as https://api.example.org/v1",
        examples=["https://api.example.org/v1"],
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
        examples=["orders /orders"],
    )


class Access(Stated):
    """How one is let in."""

    auth: Literal["none", "basic", "bearer", "api_key", "client_credentials", "authorization_code", "device_code"] = (
        Field(
            "none",
            title="Sign in with",
            description="Where somebody has to consent or to enter a code, they connect it once it is saved.",
            json_schema_extra=said(
                "Sign in",
                labels={
                    "none": "nothing: everybody may read it",
                    "basic": "user and password (Basic)",
                    "bearer": "a token (Bearer)",
                    "api_key": "a key in a header or in the address",
                    "client_credentials": "OAuth 2: client credentials, nobody consents",
                    "authorization_code": "OAuth 2: somebody consents in the browser",
                    "device_code": "OAuth 2: somebody enters a code elsewhere",
                },
            ),
        )
    )
    user: str | None = Field(None, title="User", json_schema_extra=said("Sign in", only=_BASIC, needed=True))
    password: str | None = secret_field("Password", only=_BASIC, needed=True)
    token: str | None = secret_field("Token or key", only=_TOKEN, needed=True)
    key_name: str | None = Field(
        None,
        title="Name of the key",
        description="Of the header or parameter, such as X-Api-Key.",
        pattern="^[A-Za-z0-9_.-]+$",
        examples=["X-Api-Key"],
        json_schema_extra=said("Sign in", only=_KEY, needed=True),
    )
    key_in: Literal["header", "query"] = Field(
        "header",
        title="The key is sent in the",
        json_schema_extra=said("Sign in", only=_KEY, labels={"query": "address, as a parameter"}),
    )
    token_url: str | None = Field(
        None,
        title="Address of the token",
        description="Where a token is asked for.",
        examples=["https://login.example.org/oauth/token"],
        json_schema_extra=said("Sign in", only=_OAUTH, needed=True),
    )
    authorize_url: str | None = Field(
        None,
        title="Address of the consent",
        description="Where somebody consents. With the client there is registered that they come back to "
        "/oauth/callback of this installation.",
        examples=["https://login.example.org/oauth/authorize"],
        json_schema_extra=said("Sign in", only={"auth": ["authorization_code"]}, needed=True),
    )
    device_url: str | None = Field(
        None,
        title="Address of the device code",
        description="Where a code to enter is asked for.",
        examples=["https://login.example.org/oauth/device"],
        json_schema_extra=said("Sign in", only={"auth": ["device_code"]}, needed=True),
    )
    client_id: str | None = Field(
        None,
        title="Client",
        description="Its id, as the service has registered it.",
        json_schema_extra=said("Sign in", only=_OAUTH, needed=True),
    )
    client_secret: str | None = secret_field(
        "Client's secret",
        "Clients that are public have none.",
        only=_OAUTH,
        needed={"auth": ["client_credentials"]},
    )
    client_in: Literal["header", "body"] = Field(
        "header",
        title="The secret goes into the",
        description="As the server wants it.",
        json_schema_extra=said("Sign in", only=_OAUTH),
    )
    scope: str | None = Field(
        None, title="Scope", description="Where it is asked for.", json_schema_extra=said("Sign in", only=_OAUTH)
    )
    headers: tuple[Line, ...] = Field(
        (),
        max_length=50,
        title="Headers",
        description="One a line, such as Accept: application/json. No secrets.",
        json_schema_extra=said("Reading"),
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

    most_pages: int = Field(
        100_000, ge=1, le=10_000_000, title="Most pages of one read", json_schema_extra=said("Limits")
    )
    largest_mb: int = Field(16, ge=1, le=16, title="Largest answer, in MB", json_schema_extra=said("Limits"))
    most_seconds: int = Field(120, ge=1, le=3_600, title="Longest answer, in seconds", json_schema_extra=said("Limits"))
    most_wait: int = Field(
        300,
        ge=0,
        le=3_600,
        title="Longest wait, in seconds",
        description="A server that asks for more patience fails the step, and perhaps the run.",
        json_schema_extra=said("Limits"),
    )

    @property
    def largest(self) -> int:
        return self.largest_mb * 1_000_000


class RestParams(Session, Asking, Access, Streams, Address):
    """The parameters of a source. A form shows the fields of the last base first."""

    elsewhere: ClassVar[frozenset[str]] = frozenset(Asking.model_fields)

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
