"""`check`: is the routes file right, and what does it need?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from cli.output import AsJson, console, plain, print_json
from cli.routes_file import ROUTES, read_routes

if TYPE_CHECKING:
    from shared.routes import Route, Routes


def check(
    file: Annotated[str, typer.Argument(envvar="ROUTES", help="The routes file, or a blob's URL.")] = ROUTES,
    schema: Annotated[bool, typer.Option("--schema", help="Print the file's JSON Schema, for editors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the routes file as the app does: each problem is told with file, line and key, and the exit status is 1.

    Of a file that is right it tells the sources, the routes and the secrets that have to be in Key Vault.

    Example: python -m cli check routes.yaml

    Example: python -m cli check --schema > docs/routes.schema.json
    """
    if schema:
        from cli.schema import routes_schema

        print_json(routes_schema())
        return
    found = summary_of(read_routes(file))
    if as_json:
        print_json(found)
    else:
        _show(file.split("?")[0], found)


def summary_of(routes: Routes) -> dict[str, Any]:
    """Return the file's sources, routes, secrets with who needs them, and the hosts that ALLOWED_HOSTS has to list."""
    return {
        "sources": {name: {"kind": source.kind, "secret": source.secret} for name, source in routes.sources.items()},
        "routes": [_route(route) for route in routes.routes],
        "secrets": _gathered(_secrets(routes)),
        "hosts": _gathered(_hosts(routes)),
    }


def _route(route: Route) -> dict[str, Any]:
    import msgspec

    when = {key: value for key, value in msgspec.to_builtins(route.when).items() if value not in (None, {}, "*")}
    steps, on_failure = ([step.id for step in plans] for plans in (route.steps, route.on_failure))
    return {"route": route.name, "when": when, "steps": steps, "on_failure": on_failure}


def _secrets(routes: Routes) -> Iterator[tuple[str, str]]:
    from handlers.targets import rules_of_targets

    for name, source in routes.sources.items():
        for key in ("secret", "authorization_secret", "token_secret"):
            if given := getattr(source, key):
                yield given, f"source {name} ({key})"
    for route in routes.routes:
        for step in (*route.steps, *route.on_failure):
            for key, name in rules_of_targets()[step.target].secrets_in(step.options).items():
                yield name, f"route {route.name}, {step.id} ({key})"


def _hosts(routes: Routes) -> Iterator[tuple[str, str]]:
    for route in routes.routes:
        for step in (*route.steps, *route.on_failure):
            if step.target == "http":
                yield urlsplit(step.options["url"]).netloc, f"route {route.name}, {step.id}"


def _gathered(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, value in pairs:
        found[key] += [value] * (value not in found[key])
    return dict(sorted(found.items()))


def _show(file: str, found: dict[str, Any]) -> None:
    out = console()
    out.print(f"{plain(file)} is right: {len(found['sources'])} sources, {len(found['routes'])} routes")
    out.print("\n[bold]sources[/]")
    for name, source in found["sources"].items():
        out.print(f"  {plain(name)}  {plain(source['kind'])}  POST /api/webhooks/{plain(name)}")
    out.print("\n[bold]routes[/]")
    for route in found["routes"]:
        when = ", ".join(f"{key}: {value}" for key, value in route["when"].items())
        out.print(f"  {plain(route['route'])}  when {plain(when)}")
        out.print(f"    {plain(' -> '.join(route['steps']))}")
        if route["on_failure"]:
            out.print(f"    on failure: {plain(', '.join(route['on_failure']))}")
    for key, title in (("secrets", "secrets that have to be in Key Vault"), ("hosts", "hosts for ALLOWED_HOSTS")):
        if found[key]:
            out.print(f"\n[bold]{title}[/]")
        for name, users in found[key].items():
            out.print(f"  {plain(name)}  [dim]{plain('; '.join(users))}[/]")
