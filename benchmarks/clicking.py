"""People at the console and programs at the API: plain clients in threads, which stop by themselves."""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import httpx

# What a person needs at least to take in a page.
PAUSE = (0.1, 0.3)
POLLED_EVERY = 2.0

Door = Literal["page", "part", "api"]


@dataclass(frozen=True)
class Address:
    """A page, a part of it as htmx asks for it, or an endpoint below /api/v1/."""

    door: Door
    path: str
    name: str

    @property
    def url(self) -> str:
        return f"/api/v1/{self.path}" if self.door == "api" else f"/{self.path}"


@dataclass
class Taken:
    """Seconds of each answer by address, and what was answered instead of 200."""

    seconds: dict[Address, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[Address, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, address: Address, seconds: float, error: str) -> None:
        self.seconds[address].append(seconds)
        if error:
            self.errors[address].append(error)


@dataclass(frozen=True)
class Site:
    """Where to click, as whom. One sign-in serves all clients, as one browser's tabs do."""

    url: str
    cookies: httpx.Cookies
    token: str

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, cookies=self.cookies, timeout=60, trust_env=False)

    def visit(self, client: httpx.Client, address: Address, taken: Taken) -> None:
        headers = {"HX-Request": "true"} if address.door == "part" else {}
        if address.door == "api":
            headers["Authorization"] = f"Bearer {self.token}"
        began = time.perf_counter()
        try:
            answer = client.get(address.url, headers=headers)
            error = "" if answer.status_code == 200 else str(answer.status_code)
        except httpx.HTTPError as failed:
            error = type(failed).__name__
        taken.add(address, time.perf_counter() - began, error)


def sign_in(url: str, token: str, username: str, password: str) -> Site:
    """Through the form, as a person does."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        form = client.get("/login/").text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert found is not None
        data = {"username": username, "password": password, "csrfmiddlewaretoken": found.group(1)}
        answer = client.post("/login/", data=data, headers={"Referer": f"{url}/login/"})
        assert answer.is_redirect, f"signing in was answered {answer.status_code}"
        return Site(url, client.cookies, token)


def alone(site: Site, addresses: Sequence[Address], rounds: int, seconds: float) -> Taken:
    """One client, one address after the other; the first round warms up and is not counted."""
    taken, until = Taken(), time.monotonic() + seconds
    with site.client() as client:
        for each in addresses:
            site.visit(client, each, Taken())
        for each in itertools.chain.from_iterable([addresses] * rounds):
            if time.monotonic() < until:
                site.visit(client, each, taken)
    return taken


def together(site: Site, addresses: Sequence[Address], clients: int, rounds: int, seconds: float) -> Taken:
    """`clients` people who click through the addresses in orders of their own, while each part is polled by a tab."""
    until = time.monotonic() + seconds
    over = threading.Event()
    clicked = [address for address in addresses if address.door != "part"]
    polled = [address for address in addresses if address.door == "part"]
    with ThreadPoolExecutor(clients + len(polled)) as pool:
        tabs = [pool.submit(_poll, site, each, over) for each in polled]
        people = [pool.submit(_click, site, clicked, rounds, until, number) for number in range(clients)]
        try:
            found = [each.result() for each in people]
        finally:
            over.set()
        found += [each.result() for each in tabs]
    return _merged(found)


def _click(site: Site, addresses: Sequence[Address], rounds: int, until: float, seed: int) -> Taken:
    taken, order = Taken(), random.Random(seed)
    with site.client() as client:
        for _ in range(rounds):
            for each in order.sample(addresses, len(addresses)):
                if time.monotonic() > until:
                    return taken
                site.visit(client, each, taken)
                time.sleep(order.uniform(*PAUSE))
    return taken


def _poll(site: Site, address: Address, over: threading.Event) -> Taken:
    taken = Taken()
    with site.client() as client:
        while not over.wait(POLLED_EVERY):
            site.visit(client, address, taken)
    return taken


def _merged(found: Sequence[Taken]) -> Taken:
    whole = Taken()
    for each in found:
        for address, seconds in each.seconds.items():
            whole.seconds[address] += seconds
        for address, errors in each.errors.items():
            whole.errors[address] += errors
    return whole
