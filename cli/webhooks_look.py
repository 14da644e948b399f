"""Looks at each registry that the routes file names, and compares: the common beginning of all webhook commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cli.output import refused
from cli.webhooks_access import registry_of
from cli.webhooks_plan import Change, Found, changes_of, is_left_over, is_ours
from cli.webhooks_registries import Webhooks, webhooks_of
from cli.webhooks_wanted import MARK, is_managed, notes_of, wanted_of
from shared.errors import RelayError
from shared.routes import Routes, Source


@dataclass(frozen=True)
class Look:
    """What is to be seen of one source: its door, all webhooks there, and what is to be done; `failure` if nothing."""

    source: str
    door: Webhooks | None = None
    found: tuple[Found, ...] = ()
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = field(default=())
    failure: str = ""


@dataclass(frozen=True)
class Wish:
    """What an operator asks for. `app` is the URL at which registries reach the app."""

    app: str
    sources: tuple[str, ...]
    vault: str
    adopt: bool = False
    rotate: bool = False


def managed_sources(routes: Routes, asked: Iterable[str]) -> tuple[str, ...]:
    """Return the sources that are looked at: those asked for, else all. Ends the command for one that can't be."""
    for name in asked:
        if name not in routes.sources:
            raise refused(f"the routes file has no source {name!r}: sources are {', '.join(sorted(routes.sources))}")
        if not is_managed(routes.sources[name]):
            reasons = list(notes_of(name, routes))
            raise refused(reasons[0] if reasons else f"a source of kind {routes.sources[name].kind} has no webhooks")
    return tuple(asked) or tuple(name for name, source in routes.sources.items() if is_managed(source))


def look_at(routes: Routes, wish: Wish) -> Iterator[Look]:
    """Yield what is to be seen of each source, in the file's order."""
    lists: dict[tuple[str, str], tuple[Found, ...]] = {}
    for name in wish.sources:
        source = routes.sources[name]
        try:
            door = webhooks_of(registry_of(source, wish.vault, routes.sources.values()))
            key = (source.kind, source.address)
            if key not in lists:
                lists[key] = tuple(door.all())
            yield _look(name, source, routes, wish, door, lists[key])
        except RelayError as error:
            yield Look(name, failure=str(error))


def deliveries_url(app: str, source: str) -> str:
    """Return where the app takes a source's deliveries."""
    return f"{app}/api/webhooks/{source}"


def _look(name: str, source: Source, routes: Routes, wish: Wish, door: Webhooks, found: tuple[Found, ...]) -> Look:
    url = deliveries_url(wish.app, name)
    ours = [each for each in found if is_ours(each, name, url, wish.adopt)]
    changes = list(changes_of(wanted_of(name, routes, url), ours, rotate=wish.rotate))
    here = [other for other, each in routes.sources.items() if each.address == source.address]
    if name == here[0]:  # told once, of whichever sources share this registry
        gone = [each for each in found if is_left_over(each, wish.app, here)]
        changes += [
            Change(
                action="delete",
                source=each.description.removeprefix(MARK),
                found=each,
                reasons=("no such source is at this registry",),
            )
            for each in gone
        ]
    strangers = [
        f"{name}: webhook {each.id} sends here too, without our mark, and is left alone: remove it, or use --adopt"
        for each in found
        if each.url == url and each not in ours
    ]
    return Look(name, door, found, tuple(changes), (*notes_of(name, routes), *strangers))
