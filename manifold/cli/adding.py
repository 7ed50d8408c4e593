"""`manifold sources add`: by flags, or asked for one thing after the other. Nothing is stored until the test passes."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from dataplane.connectors.files.patterns import FilePattern
from dataplane.connectors.files.settings import ARCHIVE
from dataplane.names import slug_of
from manifold.cli import output
from manifold.cli.detecting import given, own_path, show
from manifold.cli.stages import asked_secrets, parameters, secret_option, setting, show_check, show_streams, tell_found
from manifold.cli.templates import ask_of, template_of
from manifold.client import Client, at

_READ = re.compile(r"(?P<stream>[^=]+):(?P<setting>[^:=]+=.*)", re.DOTALL)
_TYPE = re.compile(r"(?P<stream>.+):(?P<column>[^:=]+)=(?P<type>.+)")


@click.command()
@click.argument("slug", required=False)
@click.option("--connector", help="Its kind; `manifold sources connectors` lists them.")
@click.option("--from", "text", help="An address or connection string that tells kind, parameters and secrets; - asks.")
@click.option("--template", help="A well-known service; `manifold sources templates` lists them.")
@click.option("--title", default="", help="A name for people.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
@secret_option
@click.option("--stream", "streams", multiple=True, metavar="NAME", help="Keep this stream only; may be repeated.")
@click.option("--cursor", "cursors", multiple=True, metavar="STREAM=COLUMN", help="How new rows of a stream are known.")
@click.option("--type", "types", multiple=True, metavar="STREAM:COLUMN=TYPE", help="The type of a column.")
@click.option(
    "--read",
    "reads",
    multiple=True,
    metavar="STREAM:NAME=VALUE",
    help="How its files are read, such as orders:delimiter=tab.",
)
@click.option("--anyway", is_flag=True, help="Store it even if its test fails.")
@click.option("--ask", is_flag=True, help="Ask for whatever is not given.")
@output.command
def add(client: Client, *, slug: str | None, text: str | None, ask: bool, as_json: bool, **flags: Any) -> None:
    """Test a source, add it with its streams, or nothing of it; status 1 when the test fails."""
    ask = ask or (slug is None and sys.stdin.isatty() and not as_json)
    if slug is None and not ask:
        output.stop("Give it a name: `manifold sources add NAME --connector …`, or say --ask.", output.USAGE)
    if ask and text is None and flags["connector"] is None and flags["template"] is None:
        text = click.prompt("Address, connection string or path")
    chosen = _chosen(flags)
    draft, called = _draft(client, text, flags, ask=ask)
    check = client.in_project("POST", "sources/try/", json=draft)
    if not as_json:
        show_check(check)
    unconnected = any((each["error"] or {}).get("code") == "not_connected" for each in check["stages"])
    if not check["ok"] and not flags["anyway"] and not unconnected:
        if as_json:
            output.print_json({"source": None, "check": check, "streams": None})
        else:
            click.echo("Nothing is stored. Mend it and try again, or say --anyway.")
        sys.exit(output.FAILED)
    if ask and check["ok"] and not chosen:
        chosen = _asked_streams(client, draft)
    elif check["ok"] and not chosen:
        chosen = _of_one_file(client, draft, as_json=as_json)
    title, slug = _named(slug, flags["title"], called, ask=ask)
    body = {**draft, "slug": slug, "title": title}
    created = client.in_project("POST", "sources/", json=body | ({"streams": chosen} if check["ok"] else {}))
    if not as_json:
        # Said before its streams are looked for, where that may fail: it is stored all the same.
        click.echo(f"{slug}: added" + (f"; connect it now: `manifold sources connect {slug}`" if unconnected else ""))
    found = _streams(client, slug, chosen) if check["ok"] else None
    if as_json:
        output.print_json({"source": created, "check": check, "streams": found})
    elif found:
        show_streams(found)
        tell_found(found, slug)
    if not check["ok"] and not unconnected:
        sys.exit(output.FAILED)


def _draft(client: Client, text: str | None, flags: dict[str, Any], *, ask: bool) -> tuple[dict[str, Any], str]:
    """What the API is told of a source that is not there yet, and what it might be called."""
    text = own_path(given(text)) if text is not None else ""
    template = template_of(client, flags["template"])
    candidate = _candidate(client, text, template["connector"] if template else flags["connector"], ask=ask)
    params = parameters(client, candidate["connector"], flags["settings"])
    params |= asked_secrets(flags["secrets"])
    if ask:
        ask_of(template, params)
        _ask_missing(client, candidate, {**(template["params"] if template else {}), **params}, params)
    draft = {"connector": candidate["connector"], "params": params, "text": text, "template": flags["template"] or ""}
    return draft, candidate["name"] or (template["title"] if template else candidate["connector"])


def _candidate(client: Client, text: str, connector: str | None, *, ask: bool) -> dict[str, Any]:
    """The connector that is named, or that the text is for. Leaves with a sentence where that is not clear."""
    if not text and connector is None:
        output.stop("Say what it is: --connector, --from, or --ask to be asked.", output.USAGE)
    answer = client.in_project("POST", "sources/detect/", json={"text": text}) if text else {"candidates": []}
    found = [each for each in answer["candidates"] if connector in (None, each["connector"])]
    if connector is not None:
        return found[0] if found else {"connector": connector, "params": {}, "secrets": [], "name": ""}
    if answer["clear"]:
        return dict(found[0])
    show(answer)
    if not ask or not found:
        output.stop("It is not clear what that is. Name one with --connector.", output.USAGE)
    keys = [each["connector"] for each in found]
    chosen = click.prompt("Which one", type=click.Choice(keys), default=keys[0])
    return dict(found[keys.index(chosen)])


def _ask_missing(client: Client, candidate: dict[str, Any], given: dict[str, Any], params: dict[str, Any]) -> None:
    """Ask how one signs in, for what is needed then, and for the secrets that apply; those may stay empty."""
    kind = client.call("GET", at("connectors", candidate["connector"]))
    schema, secrets = kind["schema"], kind["secrets"]
    known = {**given, **candidate["params"], **dict.fromkeys(candidate["secrets"], True)}
    chosen = _asked_choices(schema, secrets, known)
    params.update({name: each for name, each in chosen.items() if name != "way"})
    known |= chosen
    for name, part in schema.get("properties", {}).items():
        needed = name in schema.get("required", []) or ("needed" in part and _holds(schema, part["needed"], known))
        if name in known or not (needed or name in secrets) or not _holds(schema, part.get("only", {}), known):
            continue
        empty: dict[str, Any] = {} if needed else {"default": "", "show_default": False}
        entered = click.prompt(part.get("title", name), hide_input=name in secrets, **empty)
        if entered:
            known |= {name: entered}
            own = [] if name in secrets else [f"{name}={entered}"]
            params.update(parameters(client, candidate["connector"], own) or {name: entered})


def _asked_choices(schema: dict[str, Any], secrets: list[str], known: dict[str, Any]) -> dict[str, str]:
    """The choices on which secrets depend; none among ways to sign in where a secret is known already."""
    properties, ways = schema.get("properties", {}), [each["way"] for each in schema.get("ways", [])]
    names = dict.fromkeys(name for each in secrets for name in properties[each].get("only", {}) if name not in known)
    found = {}
    for name in names:
        choices = properties.get(name, {}).get("enum", [])
        if name == "way" and not known.keys() & set(secrets):
            found[name] = click.prompt("Sign in with", type=click.Choice(ways), default=ways[0])
        elif choices:
            default = properties[name].get("default")
            found[name] = click.prompt(properties[name]["title"], type=click.Choice(choices), default=default)
    return found


def _holds(schema: dict[str, Any], condition: dict[str, list[Any]], known: dict[str, Any]) -> bool:
    """Whether what is known meets a condition of the schema; a way to sign in that nobody chose is not known."""
    values = {name: known.get(name, schema["properties"].get(name, {}).get("default")) for name in condition}
    return all(values[name] in wanted if wanted else values[name] for name, wanted in condition.items())


def _of_one_file(client: Client, draft: dict[str, Any], *, as_json: bool) -> list[dict[str, Any]]:
    """The streams in which a file comes that was named itself; none where no file was, or in no stream."""
    _, slash, name = draft["text"].rstrip().rpartition("/")
    if not slash or "." not in name or client.call("GET", at("connectors", draft["connector"]))["family"] != "file":
        return []
    offers = client.in_project("POST", "sources/offers/", json=draft)["results"]
    own = [each["name"] for each in offers if _has(each["settings"].get("pattern", ()), name)]
    if len(own) < len(offers) and not as_json:
        click.echo(
            f"Only {name} and files called like it are read. What else is in its folder, `discover` adds."
            if own
            else f"No stream is known by the name of {name}, so all that were found are kept."
        )
    return [{"name": each, "config": {}} for each in own]


def _has(pattern: str | list[str], name: str) -> bool:
    """Whether a file fits, or is an archive whose members may: their paths begin with its name."""
    patterns = [pattern] if isinstance(pattern, str) else pattern
    archived = [each[: end + len(ARCHIVE)] for each in patterns if (end := each.lower().find(f"{ARCHIVE}/")) >= 0]
    return any(FilePattern(each).match(name) for each in (*patterns, *archived))


def _asked_streams(client: Client, draft: dict[str, Any]) -> list[dict[str, Any]]:
    offers = client.in_project("POST", "sources/offers/", json=draft)["results"]
    show_streams({"results": offers})
    if not offers:
        return []
    entered = click.prompt("Which streams, with commas between them", default="all")
    names = [each["name"] for each in offers] if entered == "all" else [each.strip() for each in entered.split(",")]
    cursors = {each["name"]: each["cursor_candidates"] for each in offers if each["cursor_candidates"]}
    found = []
    for name in names:
        config = {}
        if name in cursors:
            said = click.prompt(f"New rows of {name} are known by ({', '.join(cursors[name])})", default="none")
            config = {} if said == "none" else {"cursor": said}
        found.append({"name": name, "config": config})
    return found


def _chosen(flags: dict[str, Any]) -> list[dict[str, Any]]:
    """The streams that the flags name, with what they say of them."""
    found: dict[str, dict[str, Any]] = {name: {"name": name, "config": {}, "types": {}} for name in flags["streams"]}
    for each in flags["cursors"]:
        stream, equals, column = each.rpartition("=")
        if not equals or stream not in found:
            raise click.BadParameter(f"{each!r} is not STREAM=COLUMN of a --stream", param_hint="--cursor")
        found[stream]["config"]["cursor"] = column
    for each in flags["types"]:
        match = _TYPE.fullmatch(each)
        if match is None or match["stream"] not in found:
            raise click.BadParameter(f"{each!r} is not STREAM:COLUMN=TYPE of a --stream", param_hint="--type")
        found[match["stream"]]["types"][match["column"]] = match["type"]
    for each in flags["reads"]:
        match = _READ.fullmatch(each)
        if match is None or match["stream"] not in found:
            raise click.BadParameter(f"{each!r} is not STREAM:NAME=VALUE of a --stream", param_hint="--read")
        found[match["stream"]]["config"].setdefault("settings", {}).update([setting(match["setting"])])
    return list(found.values())


def _named(slug: str | None, title: str, called: str, *, ask: bool) -> tuple[str, str]:
    """Title and slug; where nobody says one, after what the source is called elsewhere."""
    if slug is None:
        title = title or click.prompt("Title", default=called)
        slug = click.prompt("Name", default=slug_of(title) or "source")
    return title or slug, str(slug)


def _streams(client: Client, slug: str, chosen: list[dict[str, Any]]) -> Any:
    """The streams that were stored; where none was chosen, all that there are."""
    if not chosen:
        return client.in_project("POST", at("sources", slug, "discover"))
    return client.page(at("sources", slug, "streams"), 500)
