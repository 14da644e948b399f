"""HTTP routes as the Functions host matches them: by letters of either case, then by method."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from local.host_functions import Function, HostError

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(\??)\}")


@dataclass(frozen=True)
class Route:
    """One HTTP function and the requests that reach it."""

    function: Function
    pattern: re.Pattern[str]
    methods: frozenset[str]
    literals: int


def route(function: Function, prefix: str) -> Route:
    """Return the route of an HTTP function, or raise HostError when its template is not understood."""
    template = "/".join(part for part in (prefix, function.trigger.get("route") or function.name) if part)
    parts = [part for part in template.split("/") if part]
    methods = frozenset(method.upper() for method in function.trigger.get("methods") or METHODS)
    pattern = "".join(_pattern(part, function.name) for part in parts) + "/?"
    literals = sum("{" not in part for part in parts)
    return Route(function, re.compile(pattern, re.IGNORECASE), methods, literals)


def _pattern(part: str, name: str) -> str:
    match = _PARAMETER.fullmatch(part)
    if not match and "{" in part:
        raise HostError(f"{name}: route part {part!r}: this host knows {{name}}, {{name?}} and {{*name}}")
    if not match:
        return "/" + re.escape(part)
    stars, parameter, optional = match.groups()
    if stars:
        return f"(?:/(?P<{parameter}>.*))?"
    return f"(?:/(?P<{parameter}>[^/]+))" + optional


def in_order(routes: list[Route]) -> list[Route]:
    """Return the routes in the order in which they are tried: literal parts win over parameters."""
    return sorted(routes, key=lambda route: -route.literals)


def match(routes: list[Route], method: str, path: str) -> tuple[Function, dict[str, str]] | None:
    """Return the function of the first route that a request matches, and its route parameters."""
    for candidate in routes:
        found = candidate.pattern.fullmatch(path)
        if found and method in candidate.methods:
            values = {key: _decoded(value) for key, value in found.groupdict().items() if value is not None}
            return candidate.function, values
    return None


def _decoded(value: str) -> str:
    # A slash that was escaped stays escaped: it is no border between parts.
    return unquote(re.sub("%2f", "%252F", value, flags=re.IGNORECASE))
