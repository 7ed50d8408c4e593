"""A client of the HTTP API, for the command and whoever else wants one. It imports no Django.

Where it connects: MANIFOLD_URL and MANIFOLD_TOKEN, or what `manifold up` left in `$MANIFOLD_HOME/platform.json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import httpx

from dataplane import authorities
from dataplane.errors import ConfigurationError
from manifold import environment
from manifold.environment.setting import data_folder

API = "/api/v1"
LARGEST_PAGE = 500
RUN_OVER = frozenset({"succeeded", "failed", "skipped", "expired", "cancelled", "timed_out"})


class ApiError(Exception):
    """The server refused; `problem` is its application/problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"the server answered {status}")
        self.status = status
        self.problem = problem


class Unreachable(Exception):
    """No server, no address or no token; the text says what to do."""


def at(*words: object) -> str:
    """A path of these words, whatever is in them: `at("runs", run_id)` is `runs/<id>/`."""
    return "".join(f"{quote(str(each), safe='')}/" for each in words)


class Client:
    """One server, one token, one project. Paths are relative to `/api/v1/`, or to the project with `project_*`."""

    def __init__(self, url: str, token: str, project: str = "default", timeout: float = 60.0) -> None:
        """Raises Unreachable where the address or the token cannot be one."""
        self.project = project
        try:
            self._http = httpx.Client(
                base_url=url.rstrip("/"),
                headers={"Authorization": f"Bearer {token.encode('ascii').decode()}"},
                timeout=timeout,
                trust_env=False,
                verify=authorities.context() if url.lower().startswith("https:") else True,
                follow_redirects=False,
            )
        except ConfigurationError as error:
            raise Unreachable(error.message) from error
        except httpx.InvalidURL as error:
            raise Unreachable(
                f"{url!r} is no address ({error}). Set MANIFOLD_URL to one like http://host:8400."
            ) from error
        except UnicodeEncodeError as error:
            raise Unreachable("The token has letters that no token has. Look at MANIFOLD_TOKEN again.") from error

    @classmethod
    def from_environment(cls, home: Path | None = None) -> Client:
        """Raises Unreachable where neither the environment nor a data folder names a server."""
        url, token = environment.URL.read(), environment.TOKEN.read()
        if not (url and token):
            left = platform_file(home)
            url, token = url or left["url"], token or left["token"]
        if not token:
            raise Unreachable("The platform is still starting: it has made no token for the command yet. Try again.")
        return cls(url, token, environment.PROJECT.read())

    def address(self, path: str) -> str:
        """The whole address of a path that the server tells, for those who send to it."""
        return f"{str(self._http.base_url).rstrip('/')}{path}"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The decoded answer. Raises ApiError for a refusal and Unreachable where nobody answers."""
        response = self._send(method, f"{API}/{path.lstrip('/')}", **options)
        return self._decoded(response) if response.content else None

    def in_project(self, method: str, path: str, **options: Any) -> Any:
        return self.call(method, f"{at('projects', self.project)}{path.lstrip('/')}", **options)

    def each(self, path: str, /, **params: Any) -> Iterator[dict[str, Any]]:
        """Every row of a project's list, page by page."""
        page = self.page(path, LARGEST_PAGE, **params)
        while True:
            yield from page["results"]
            if not page["next"]:
                return
            page = self._decoded(self._send("GET", httpx.URL(page["next"]).raw_path.decode()))

    def page(self, path: str, limit: int, /, **params: Any) -> Any:
        """The first page of a project's list, with at most `limit` rows. Parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return self.in_project("GET", path, params={**given, "page_size": limit})

    def download(self, path: str, target: Path, **params: Any) -> int:
        """Stream a project's resource into a new file, which appears whole or not at all; returns its size in bytes."""
        partial = target.with_name(target.name + ".part")
        place = f"{API}/{at('projects', self.project)}{path}"
        try:
            with self._http.stream("GET", place, params=params) as response, partial.open("wb") as file:
                if response.status_code >= 300:
                    response.read()
                    self._refuse(response)
                for chunk in response.iter_bytes():
                    file.write(chunk)
            partial.replace(target)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            partial.unlink(missing_ok=True)
        return target.stat().st_size

    def upload(self, path: str, source: Path) -> Any:
        """Send a file as the body of a PUT, read while it is sent; the decoded answer."""
        with source.open("rb") as body:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(source.stat().st_size)}
            return self.in_project("PUT", path, content=body, headers=headers)

    def wait(
        self,
        run_id: str,
        seconds: float | None = None,
        every: float = 0.5,
        halted: Callable[[dict[str, Any]], None] = lambda run: None,
    ) -> dict[str, Any]:
        """Poll a run until it is over; returns it as the API shows it, finished or not when `seconds` have passed.

        halted: is given the run whenever it begins to wait for something, such as somebody's decision.
        """
        until = None if seconds is None else time.monotonic() + seconds
        waits_for = None
        while True:
            run: dict[str, Any] = self.in_project("GET", at("runs", run_id))
            if run["waits_for"] and run["waits_for"] != waits_for:
                halted(run)
            waits_for = run["waits_for"]
            if run["state"] in RUN_OVER or (until is not None and time.monotonic() > until):
                return run
            time.sleep(every)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 300:
            self._refuse(response)
        return response

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        if isinstance(error, httpx.ReadTimeout):
            return Unreachable(
                f"{self._http.base_url} has not answered for {self._http.timeout.read:g} seconds. What was asked of it "
                "may still be done: look, before you ask for it again."
            )
        return Unreachable(
            f"Nobody answers at {self._http.base_url} ({error}). Is it running? Start it with `manifold up`."
        )

    def _decoded(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise Unreachable(f"What answers at {self._http.base_url} is not Manifold. Look at MANIFOLD_URL.") from None

    def _refuse(self, response: httpx.Response) -> NoReturn:
        if response.is_redirect:
            leads = response.headers.get("Location")
            raise Unreachable(f"{self._http.base_url} sends on to {leads}. Set MANIFOLD_URL to where it leads.")
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict):
            problem = {"title": f"The server answered {response.status_code} {response.reason_phrase}."}
        raise ApiError(response.status_code, problem)


def platform_file(home: Path | None = None) -> dict[str, Any]:
    """What `manifold up` left: address, token, ports. Raises Unreachable where there is none."""
    folder = home or data_folder()
    try:
        left: dict[str, Any] = json.loads((folder / "platform.json").read_text())
    except (OSError, json.JSONDecodeError):
        raise Unreachable(
            f"No server is known: {folder}/platform.json is not there. "
            "Start one with `manifold up`, or set MANIFOLD_URL and MANIFOLD_TOKEN."
        ) from None
    return left
