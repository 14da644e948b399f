"""`webhooks`: the webhooks that the routes file asks for, made, tested and kept in step at Databricks and MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.client import app_url, safe_url
from cli.output import AsJson, console, plain, print_json, refused
from cli.routes_file import ROUTES, RoutesFile, read_routes

if TYPE_CHECKING:
    from cli.webhooks_look import Wish
    from shared.routes import Routes

DRIFT = 3
HELP = """Make the webhooks that the routes file asks for, test them, and keep them in step.

Only webhooks whose description is `registry-relay:SOURCE` are ever changed or removed. Who may see and change them: for
one model who has CAN MANAGE on it, for a whole registry a workspace admin. Lets you in: DATABRICKS_TOKEN, else the
source's `token_secret`, else `az login`; for MLflow MLFLOW_TRACKING_TOKEN or …_USERNAME and …_PASSWORD.
"""
webhooks = typer.Typer(no_args_is_help=True, help=HELP)

Sources = Annotated[list[str] | None, typer.Option("--source", help="Only this source; may be given several times.")]
Vault = Annotated[str, typer.Option("--vault", envvar="KEY_VAULT_URL", help="The Key Vault that holds the secrets.")]
PublicUrl = Annotated[
    str, typer.Option(envvar="RELAY_PUBLIC_URL", help="Where registries reach the app, if not at --url.")
]
Adopt = Annotated[
    bool, typer.Option("--adopt", help="Take over webhooks without our mark that send to this app already.")
]
Rotate = Annotated[bool, typer.Option("--rotate", help="Tell every webhook the newest version of its secret.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
Patience = Annotated[
    float, typer.Option(min=0, max=600, help="For how many seconds a test is tried again: the app may be starting.")
]
SecretFrom = Annotated[
    Literal["vault", "prompt", "stdin"],
    typer.Option("--secret-from", help="Where the signing secrets come from: never from the command line."),
]


@webhooks.command("plan")
def plan_webhooks(
    context: typer.Context,
    routes: RoutesFile = ROUTES,
    source: Sources = None,
    vault: Vault = "",
    public_url: PublicUrl = "",
    adopt: Adopt = False,
    check: Annotated[bool, typer.Option("--check", help=f"Exit status {DRIFT} if anything is to be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what `apply` would do, and why; change nothing. Example: python -m cli webhooks plan --check"""
    from cli.webhooks_look import look_at
    from cli.webhooks_show import entry, show_plan

    found, wish = _wish(context, routes, source, vault, public_url, adopt)
    looks = list(look_at(found, wish))
    if as_json:
        print_json([entry(look) for look in looks])
    else:
        show_plan(looks)
    if any(look.failure for look in looks):
        raise typer.Exit(1)
    if check and any(change.action != "keep" for look in looks for change in look.changes):
        raise typer.Exit(DRIFT)


@webhooks.command("apply")
def apply_webhooks(
    context: typer.Context,
    routes: RoutesFile = ROUTES,
    source: Sources = None,
    vault: Vault = "",
    public_url: PublicUrl = "",
    adopt: Adopt = False,
    rotate: Rotate = False,
    origin: SecretFrom = "vault",
    yes: Yes = False,
    patience: Patience = 40.0,
) -> None:
    """Create what is missing (asleep), test it, activate it; update what has drifted; delete what no route needs.

    Example: python -m cli webhooks apply
    """
    from cli.webhooks_access import check_stdin, credentials_of
    from cli.webhooks_apply import apply
    from cli.webhooks_look import look_at
    from cli.webhooks_show import show_plan, tell

    found, wish = _wish(context, routes, source, vault, public_url, adopt, rotate)
    check_stdin(origin, wish.sources, yes)
    looks = list(look_at(found, wish))
    show_plan(looks)
    todo = [(look, change) for look in looks for change in look.changes if change.action != "keep"]
    if not todo:
        raise typer.Exit(1 if any(look.failure for look in looks) else 0)
    if not yes:
        typer.confirm(f"Do these {len(todo)} changes?", abort=True)
    needed = dict.fromkeys(change.source for _, change in todo if change.with_secret)
    credentials = {name: credentials_of(name, found.sources[name], vault, origin) for name in needed}
    done = []
    for look, change in todo:
        if look.door is not None:
            done.append(apply(look.door, change, credentials.get(change.source), patience))
            tell(done[-1])
    if not all(each.is_done for each in done) or any(look.failure for look in looks):
        raise typer.Exit(1)


@webhooks.command("list")
def list_webhooks(
    context: typer.Context,
    routes: RoutesFile = ROUTES,
    source: Sources = None,
    vault: Vault = "",
    as_json: AsJson = False,
) -> None:
    """List all webhooks of the registries, also those of others. Example: python -m cli webhooks list"""
    from cli.webhooks_look import look_at
    from cli.webhooks_show import row, show_list
    from cli.webhooks_wanted import MARK

    found, wish = _wish(context, routes, source, vault, "", adopt=False)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    failures = []
    for look in look_at(found, wish):
        failures += [f"{look.source}: {look.failure}"] if look.failure else []
        for each in look.found:
            rows[found.sources[look.source].address, each.id] = row(found.sources[look.source].address, each, MARK)
    show_list(list(rows.values()), as_json)
    if failures:
        raise refused("\n".join(failures))


@webhooks.command("test")
def try_webhooks(
    context: typer.Context,
    routes: RoutesFile = ROUTES,
    source: Sources = None,
    vault: Vault = "",
    public_url: PublicUrl = "",
    patience: Patience = 0.0,
) -> None:
    """Let the registries send a test call for each event, and show the app's plan; nothing is acted on.

    Example: python -m cli webhooks test --source wine-dev
    """
    from cli.webhooks_apply import plan_lines, tests_of, told
    from cli.webhooks_look import look_at

    found, wish = _wish(context, routes, source, vault, public_url, adopt=False)
    failures, count = [], 0
    for look in look_at(found, wish):
        failures += [f"{look.source}: {look.failure}"] if look.failure else []
        for change in look.changes:
            if look.door is None or change.found is None:
                continue
            tested, count = tests_of(look.door, change.found.id, change.found.events, patience), count + 1
            console().print(f"{plain(look.source)}: webhook {plain(change.found.id)}, {plain(change.found.status)}")
            for line in plan_lines(tested):
                console().print(f"  {plain(line)}")
            failures += [f"{look.source}: {told(tested)}"] if told(tested) else []
    if failures or not count:
        raise refused("\n".join(failures) or "there are no webhooks of ours: python -m cli webhooks apply makes them")


@webhooks.command("remove")
def remove_webhooks(
    context: typer.Context,
    routes: RoutesFile = ROUTES,
    source: Sources = None,
    vault: Vault = "",
    yes: Yes = False,
) -> None:
    """Remove our webhooks of one source, of several, or of all.

    Example: python -m cli webhooks remove --source wine-dev
    """
    from cli.webhooks_look import look_at

    found, wish = _wish(context, routes, source, vault, "", adopt=False)
    looks = list(look_at(found, wish))
    todo = [(look.door, change) for look in looks for change in look.changes if look.door and change.found]
    for _, change in todo:
        if change.found:
            console().print(
                f"[red]delete[/]  {plain(change.source)}  {plain(change.found.id)}  {plain(change.found.url)}"
            )
    if todo and not yes:
        typer.confirm(f"Remove these {len(todo)} webhooks?", abort=True)
    failures = [f"{look.source}: {look.failure}" for look in looks if look.failure]
    failures += [failed for door, change in todo if change.found and (failed := _removed(door, change.found.id))]
    if failures:
        raise refused("\n".join(failures))
    typer.echo(f"{len(todo)} webhooks were removed")


def _removed(door: Any, id: str) -> str:
    from shared.errors import Failure

    try:
        door.delete(id)
    except Failure as failure:
        return f"webhook {id}: {failure.reason}"
    return ""


def _wish(
    context: typer.Context,
    routes: str,
    sources: list[str] | None,
    vault: str,
    public_url: str,
    adopt: bool,
    rotate: bool = False,
) -> tuple[Routes, Wish]:
    from cli.webhooks_look import Wish, managed_sources

    app = safe_url(public_url, "--public-url") if public_url else app_url(context)
    found = read_routes(routes)
    return found, Wish(app, managed_sources(found, sources or ()), vault, adopt, rotate)
