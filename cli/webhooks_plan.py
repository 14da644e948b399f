"""What is to be done, and why: the webhooks that the routes need beside those that a registry has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from cli.webhooks_wanted import MARK, Wanted

Action = Literal["create", "update", "delete", "keep"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as its registry shows it. `verifies` tells whether it checks the app's certificate."""

    id: str
    model: str = ""
    events: tuple[str, ...] = ()
    url: str = ""
    status: str
    description: str = ""
    verifies: bool = True


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done with one webhook. `reasons` is the drift, nothing for one that is kept.

    `with_secret`: it is told its URL and secret anew. `interrupts`: meanwhile it sends nothing.
    """

    action: Action
    source: str
    wanted: Wanted | None = None
    found: Found | None = None
    reasons: tuple[str, ...] = ()
    with_secret: bool = False
    interrupts: bool = False


def changes_of(wanted: Iterable[Wanted], found: Iterable[Found], *, rotate: bool) -> Iterator[Change]:
    """Yield what is to be done for one source; `found` are the webhooks of its registry that are its own.

    With `rotate`, those that stand right are told the secret anew. Of several for the same models, one stays.
    """
    left = sorted(found, key=lambda each: (each.status != "ACTIVE", each.id))
    for want in wanted:
        same = [each for each in left if each.model == want.model]
        for each in same:
            left.remove(each)
        yield (
            _change(want, same[0], rotate)
            if same
            else Change(action="create", source=want.source, wanted=want, reasons=("there is none",), with_secret=True)
        )
        yield from (_surplus(want.source, each, "there is another one for it") for each in same[1:])
    for each in left:
        yield _surplus(each.description.removeprefix(MARK), each, "no route needs it")


def is_ours(found: Found, source: str, url: str, adopt: bool) -> bool:
    """Tell whether the webhook is the source's: by its mark, or with `adopt` by where it sends to."""
    return found.description == f"{MARK}{source}" or (adopt and found.url == url)


def is_left_over(found: Found, app: str, sources: Iterable[str]) -> bool:
    """Tell whether the webhook bears our mark and sends to this app, for a source that is no more."""
    source = found.description.removeprefix(MARK)
    return found.description.startswith(MARK) and found.url.startswith(f"{app}/") and source not in sources


def _change(want: Wanted, found: Found, rotate: bool) -> Change:
    moved = [f"it sends to {found.url}, not to {want.url}"] if found.url != want.url else []
    asleep = [f"it is {found.status}, not ACTIVE"] if found.status != "ACTIVE" else []
    unchecked = [] if found.verifies else ["it does not check the app's certificate"]
    renamed = [] if found.description == want.mark else [f"it lacks the mark {want.mark}"]
    renewed = ["it gets the newest version of the secret"] if rotate else []
    reasons = (*moved, *asleep, *unchecked, *_events(want, found), *renamed, *renewed)
    return Change(
        action="update" if reasons else "keep",
        source=want.source,
        wanted=want,
        found=found,
        reasons=reasons,
        # an adopted one, too, since nobody knows which secret it has
        with_secret=bool(moved or asleep or unchecked or renamed or renewed),
        interrupts=bool(moved or asleep),
    )


def _events(want: Wanted, found: Found) -> list[str]:
    missing, needless = set(want.events) - set(found.events), set(found.events) - set(want.events)
    return [f"it lacks {', '.join(sorted(missing))}"] * bool(missing) + [
        f"it sends {', '.join(sorted(needless))}, which no route needs"
    ] * bool(needless)


def _surplus(source: str, found: Found, why: str) -> Change:
    return Change(action="delete", source=source, found=found, reasons=(why,))
