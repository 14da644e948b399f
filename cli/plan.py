"""`plan`: what an event would start, and what not, and why; nothing is sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import AsJson, console, plain, print_json, refused
from cli.routes_file import ROUTES, RoutesFile, read_routes

if TYPE_CHECKING:
    from rich.console import Console

    from shared.messages import Event
    from shared.routes import Routes

PIPELINE = "azure_devops_pipeline"


def plan(
    event: Annotated[
        str, typer.Option(help="A file: a delivery's body as Databricks or MLflow sends it, or an event; - is stdin.")
    ] = "",
    source: Annotated[str, typer.Option(help="The source it comes from; needed where several could be meant.")] = "",
    type: Annotated[str, typer.Option(help="Instead of --event: its type, such as model_version.created.")] = "",
    model: Annotated[str, typer.Option(help="… its model.")] = "",
    version: Annotated[str, typer.Option(help="… its version.")] = "",
    to: Annotated[str, typer.Option(help="… the stage it goes to.")] = "",
    from_stage: Annotated[str, typer.Option("--from", help="… the stage it comes from.")] = "",
    alias: Annotated[str, typer.Option(help="… its alias.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="… a tag, as KEY=VALUE; may be repeated.")] = None,
    comment: Annotated[str, typer.Option(help="… its comment.")] = "",
    file: RoutesFile = ROUTES,
    preview: Annotated[
        bool, typer.Option("--preview", help="Ask Azure DevOps for the final YAML of pipelines; no run is started.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what an event would start: routes with the reason why or why not, gates, and each step's request.

    It is made by the code that acts. Nothing is sent and no gate is asked; only --preview speaks to Azure DevOps, with
    the app's settings (KEY_VAULT_URL, AZURE_DEVOPS_URL) in the environment. Exit status 1: a step would be refused.

    Example: python -m cli plan --type model_version.stage_changed --model wine_quality --version 3 --to Production

    Example: python -m cli send --type MODEL_VERSION_TAG_SET --print | python -m cli plan --event - --source wine-dev
    """
    from cli.plan_event import event_of_file, event_of_words
    from handlers.plan import plan_of
    from handlers.preview import preview_of

    if bool(event) == bool(type):
        raise typer.BadParameter("give either --event or --type")
    routes, test = read_routes(file), False
    if event:
        found, test = event_of_file(event, source, routes)
    else:
        words = {"model": model, "version": version, "from_stage": from_stage, "to_stage": to, "alias": alias}
        found = event_of_words(type, source, routes, tags=tag or [], comment=comment, **words)
    entries = plan_of(routes, found, test=True) if test else preview_of(routes, found)
    previews = _previews(routes, found) if preview and not test else {}
    if as_json:
        event_told = {key: value for key, value in _told(found).items() if value}
        print_json({"event": event_told, "test": test, "plan": entries, **({"previews": previews} if preview else {})})
    else:
        _show(found, test, entries, previews)
    if any("refused" in step for entry in entries for step in entry.get("steps", [])):
        raise typer.Exit(1)
    if any("error" in each for each in previews.values()):
        raise typer.Exit(1)


def _previews(routes: Routes, event: Event) -> dict[str, dict[str, str]]:
    """Return what Azure DevOps says of each pipeline step: its final `yaml`, or an `error`."""
    from handlers.preview import attempts_of
    from shared.errors import PermanentFailure

    try:
        steps = list(attempts_of(routes, event, PIPELINE))
    except PermanentFailure as failure:
        raise refused(failure.reason) from None
    return {step: _dry_run(attempt, event) for step, attempt in steps}


def _dry_run(attempt: Any, event: Event) -> dict[str, str]:
    from dataclasses import replace

    from handlers.current_registries import access_for
    from handlers.targets import target_module
    from shared.errors import RelayError

    module = target_module(PIPELINE)
    try:
        connection = module.connect(attempt.options, access_for(event.source))
        return {"yaml": module.dry_run(replace(attempt, connection=connection))}
    except RelayError as error:
        return {"error": str(error)}


def _told(event: Event) -> dict[str, Any]:
    import msgspec

    return {key: value for key, value in msgspec.to_builtins(event).items() if key != "payload"}


def _show(event: Event, test: bool, entries: list[dict[str, Any]], previews: dict[str, dict[str, str]]) -> None:
    out = console()
    fields = ("from_stage", "to_stage", "alias", "tags")
    more = "  ".join(f"{field}: {getattr(event, field)}" for field in fields if getattr(event, field))
    out.print(f"[bold]{plain(event.type)}[/]  {plain(event.model)} {plain(event.version)}  {plain(more)}")
    out.print(f"source {plain(event.source)}, event {event.id}")
    if test:
        out.print("[yellow]a registry's test call: it is answered with this plan and starts nothing[/]")
    for entry in entries:
        if not entry["matches"]:
            out.print(f"\n[dim]- {plain(entry['route'])}: {plain(entry['because'])}[/]")
            continue
        out.print(f"\n[green]+ {plain(entry['route'])}[/]")
        _show_route(out, entry, previews)


def _show_route(out: Console, entry: dict[str, Any], previews: dict[str, dict[str, str]]) -> None:
    if "if" in entry:
        out.print(f"  if {plain(json.dumps(entry['if']))}")
    if "require" in entry:
        out.print(f"  requires, asked at the registry before each step: {plain(json.dumps(entry['require']))}")
    if "status_tag" in entry:
        out.print(f"  writes its state to the model version as tag {plain(entry['status_tag'])}")
    for number, step in enumerate(entry["steps"], 1):
        _show_step(out, f"{number}.", step)
        if told := previews.get(f"{entry['route']}.{step['step']}"):
            out.print(f"     {plain('refused' if 'error' in told else 'final YAML')}:")
            _indented(out, told.get("error") or told["yaml"])
    for step in entry.get("on_failure", []):
        _show_step(out, "if a step is dead or parked:", step)


def _show_step(out: Console, label: str, step: dict[str, Any]) -> None:
    name = step["step"] if step["step"] == step["target"] else f"{step['step']} ({step['target']})"
    out.print(f"  {label} {plain(name)}")
    if "refused" in step:
        out.print(f"     [red]refused:[/] {plain(step['refused'])}")
    if "options" in step:
        _indented(out, json.dumps(step["options"], indent=2, ensure_ascii=False))
    for request in step.get("requests", []):
        out.print(f"     {plain(request['request'])}")
        for name, value in request.get("headers", {}).items():
            out.print(f"     {plain(name)}: {plain(value)}")
        if "body" in request:
            _indented(out, json.dumps(request["body"], indent=2, ensure_ascii=False))
        if "then" in request:
            out.print(f"     then {plain(request['then'])}")


def _indented(out: Console, text: str) -> None:
    for line in text.splitlines():
        out.print(f"     {plain(line)}")
