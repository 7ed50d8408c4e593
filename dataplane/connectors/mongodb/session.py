"""A session with one server of MongoDB: looked up, reached and signed in to, and never left for another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dataplane import authorities
from dataplane.connectors.databases.drivers import driver
from dataplane.connectors.databases.stages import CONNECT_SECONDS, reachable
from dataplane.connectors.mongodb import faults
from dataplane.connectors.mongodb.params import MongoParams
from dataplane.errors import ConfigurationError, ManifoldError, TransientError

if TYPE_CHECKING:
    from pymongo import MongoClient

    Client = MongoClient[dict[str, Any]]

_DRIVER = ("pymongo", "mongodb", "MongoDB")
_MOST_SERVERS = 50


def servers(params: MongoParams) -> list[tuple[str, int]]:
    """The servers that may be asked. Raises ManifoldError."""
    driver(*_DRIVER)
    return _recorded(params.host) if params.srv else params.servers()


@contextmanager
def connected(params: MongoParams, seconds: float) -> Iterator[Client]:
    """A client of one server, no answer of which takes longer than `seconds`. Raises ManifoldError."""
    client = sign_in(params, servers(params), seconds)
    try:
        yield client
    finally:
        client.close()


def sign_in(params: MongoParams, known: list[tuple[str, int]], seconds: float) -> Client:
    """A client of the first of the servers that takes writes, else of the first that can be read. Raises ManifoldError.

    The one is as it is now; another may be behind.
    """
    second: Client | None = None
    failure: ManifoldError | None = None
    for host, port in known:
        try:
            client, first = _opened(params, host, port, seconds)
        except ManifoldError as error:
            failure = failure or error
            continue
        if first:
            if second is not None:
                second.close()
            return client
        if second is None:
            second = client
        else:
            client.close()
    if second is None:
        assert failure is not None
        raise failure
    return second


def _opened(params: MongoParams, host: str, port: int, seconds: float) -> tuple[Client, bool]:
    from pymongo.errors import PyMongoError

    address = reachable(host, port, "MongoDB")
    client = _client(params, host, port, address, seconds)
    try:
        hello = client.admin.command("hello")
        client[params.database].command("ping")
    except PyMongoError as error:
        client.close()
        raise faults.told(params, error, "the sign-in") from None
    if not (hello.get("isWritablePrimary") or hello.get("secondary")):
        client.close()
        raise TransientError(
            f"{host}:{port} belongs to a replica set and cannot be read now. If it stays so, look "
            "at the state of the set.",
            code="server_starting",
            evidence={"host": host, "port": port},
        )
    return client, bool(hello.get("isWritablePrimary"))


def _client(params: MongoParams, host: str, port: int, address: str, seconds: float) -> Client:
    pymongo = driver(*_DRIVER)
    # Under verify-full the certificate is compared with the name, so a name that leads elsewhere gets nowhere.
    given: dict[str, Any] = {"host": host if params.tls == "verify-full" else address, "port": port}
    if params.user:
        given |= {"username": params.user, "password": params.password or "", "authSource": params.auth_database}
    if params.tls == "require":
        given["tlsAllowInvalidCertificates"] = True
    elif params.tls == "verify-full":
        given["tlsCAFile"] = authorities.trusted()
    try:
        client: Client = pymongo.MongoClient(
            **given,
            tls=params.tls != "disable",
            # Other members of a replica set are never asked: nobody has looked where their names lead.
            directConnection=True,
            appname="manifold",
            connectTimeoutMS=CONNECT_SECONDS * 1000,
            # Its port has answered already.
            serverSelectionTimeoutMS=CONNECT_SECONDS * 500,
            socketTimeoutMS=int((seconds + CONNECT_SECONDS) * 1000),
        )
    except (pymongo.errors.PyMongoError, ValueError) as error:
        raise faults.told(params, error, "the sign-in") from None
    return client


def _recorded(host: str) -> list[tuple[str, int]]:
    """The servers that DNS names for a host, all of them below the host's own domain."""
    from dns import exception, resolver

    try:
        records = resolver.resolve(f"_mongodb._tcp.{host}", "SRV", lifetime=CONNECT_SECONDS)
    except (resolver.NXDOMAIN, resolver.NoAnswer, exception.SyntaxError, UnicodeError):
        raise ConfigurationError(
            f"DNS names no servers for {host}: there is no record _mongodb._tcp.{host}. Correct the host, or write the "
            "servers themselves and switch *The host's DNS records name the servers* off.",
            code="host_unknown",
            evidence={"host": host},
        ) from None
    except exception.DNSException:
        raise TransientError(
            f"This machine's name service did not answer for {host}. If it stays, mend it.",
            code="name_service",
            evidence={"host": host},
        ) from None
    found = sorted((each.priority, str(each.target).rstrip("."), int(each.port)) for each in records)
    return below(host, [(name, port) for _, name, port in found])


def below(host: str, found: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The servers, if each is below the domain of the host: records that lead elsewhere were not written by its owner.

    Raises ConfigurationError.
    """
    domain = "." + host.partition(".")[2].rstrip(".").lower()
    elsewhere = [name for name, _ in found if not name.lower().endswith(domain)]
    if domain.count(".") < 2 or elsewhere or not 0 < len(found) <= _MOST_SERVERS:
        raise ConfigurationError(
            f"The DNS records of {host} name servers of another domain, or too many: {', '.join(elsewhere[:3])}. "
            "Write the servers themselves.",
            code="address_refused",
            evidence={"host": host, "servers": elsewhere[:10]},
        )
    return found
