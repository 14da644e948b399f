"""Times, spans and states as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from handlers.pages import text


def badge(state: object) -> str:
    """Return a state as a coloured word."""
    return f'<span class="state {text(state)}">{text(str(state).replace("_", " "))}</span>'


def moment_of(told: str | float) -> datetime:
    """Return the moment of a JSON time: ISO 8601, or seconds since 1970."""
    moment = datetime.fromisoformat(told) if isinstance(told, str) else datetime.fromtimestamp(told, UTC)
    return moment.astimezone(UTC)


def when(told: str | float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a time in UTC."""
    moment = moment_of(told)
    return f'<time datetime="{moment.isoformat()}" title="{moment.isoformat()}">{moment.strftime(form)}</time>'


def span(seconds: float) -> str:
    """Return how long something took, in its two largest units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def between(earlier: str | float, later: str | float) -> str:
    """Return how long it took from one JSON time to another; a clock that went back counts as nothing."""
    return span(max((moment_of(later) - moment_of(earlier)).total_seconds(), 0.0))


def many(count: int, word: str) -> str:
    """Return a number with its word."""
    return f"{count} {word}" + ("" if count == 1 else "s")
