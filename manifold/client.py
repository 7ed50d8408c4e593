"""A client of the HTTP API, for the command and whoever else wants one. It imports no Django.

Where it connects: MANIFOLD_URL and MANIFOLD_TOKEN, or what `manifold up` left in `$MANIFOLD_HOME/platform.json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx

from manifold import environment

API = "/api/v1"
RUN_OVER = frozenset({"succeeded", "failed", "skipped", "expired", "cancelled", "timed_out"})


class ApiError(Exception):
    """The server refused; `problem` is its application/problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"the server answered {status}")
        self.status = status
        self.problem = problem


class Unreachable(Exception):
    """No server, no address or no token; the text says what to do."""


class Client:
    """One server, one token, one project. Paths are relative to `/api/v1/`, or to the project with `project_*`."""

    def __init__(self, url: str, token: str, project: str = "default", timeout: float = 60.0) -> None:
        self.project = project
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        )

    @classmethod
    def from_environment(cls, home: Path | None = None) -> Client:
        """Raises Unreachable where neither the environment nor a data folder names a server."""
        url, token = environment.URL.read(), environment.TOKEN.read()
        if not (url and token):
            left = platform_file(home)
            url, token = url or left["url"], token or left["token"]
        return cls(url, token, environment.PROJECT.read())

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The decoded answer. Raises ApiError for a refusal and Unreachable where nobody answers."""
        response = self._send(method, f"{API}/{path.lstrip('/')}", **options)
        return response.json() if response.content else None

    def in_project(self, method: str, path: str, **options: Any) -> Any:
        return self.call(method, f"projects/{self.project}/{path.lstrip('/')}", **options)

    def each(self, path: str, limit: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """Every row of a project's list, page by page."""
        given = {name: value for name, value in params.items() if value is not None}
        page = self.in_project("GET", path, params=given)
        count = 0
        while True:
            for row in page["results"]:
                if limit is not None and count >= limit:
                    return
                count += 1
                yield row
            if not page["next"]:
                return
            page = self._send("GET", httpx.URL(page["next"]).raw_path.decode()).json()

    def download(self, path: str, target: Path, **params: Any) -> int:
        """Stream a project's resource into a new file; returns its size in bytes."""
        partial = target.with_name(target.name + ".part")
        with self._http.stream("GET", f"{API}/projects/{self.project}/{path}", params=params) as response:
            if response.status_code >= 400:
                response.read()
                self._refuse(response)
            with partial.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        partial.replace(target)
        return target.stat().st_size

    def wait(self, run_id: str, seconds: float | None = None, every: float = 0.5) -> dict[str, Any]:
        """Poll a run until it is over; returns it as the API shows it, finished or not when `seconds` have passed."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            run: dict[str, Any] = self.in_project("GET", f"runs/{run_id}/")
            if run["state"] in RUN_OVER or (until is not None and time.monotonic() > until):
                return run
            time.sleep(every)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"Nobody answers at {self._http.base_url} ({error}). Is it running? Start it with `manifold up`."
            ) from error
        if response.status_code >= 400:
            self._refuse(response)
        return response

    def _refuse(self, response: httpx.Response) -> NoReturn:
        try:
            problem = response.json()
        except json.JSONDecodeError:
            problem = {"title": response.reason_phrase}
        if not isinstance(problem, dict):
            problem = {"title": response.reason_phrase}
        raise ApiError(response.status_code, problem)


def platform_file(home: Path | None = None) -> dict[str, Any]:
    """What `manifold up` left: address, token, ports. Raises Unreachable where there is none."""
    folder = home or environment.home()
    try:
        left: dict[str, Any] = json.loads((folder / "platform.json").read_text())
    except (OSError, json.JSONDecodeError):
        raise Unreachable(
            f"No server is known: {folder}/platform.json is not there. "
            "Start one with `manifold up`, or set MANIFOLD_URL and MANIFOLD_TOKEN."
        ) from None
    return left
