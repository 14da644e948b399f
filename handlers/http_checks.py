"""What a routes file may not ask of the target `http`: each check raises ValueError with a sentence, at load."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.outbound import Place

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,2000}[!-~])?")
_OURS = re.compile(
    r"host|authorization|content-length|transfer-encoding|connection|upgrade|te|trailer|expect|cookie|proxy-.*|webhook-.*",
    re.IGNORECASE,
)
# a token for one of these is good at these hosts, which Microsoft runs, and goes to no other
AUDIENCES: Mapping[str, tuple[str, ...]] = {
    "https://management.azure.com": ("management.azure.com",),
    "https://dev.azuresynapse.net": (".dev.azuresynapse.net",),
    "https://analysis.windows.net/powerbi/api": ("api.powerbi.com",),
    "https://api.fabric.microsoft.com": ("api.fabric.microsoft.com",),
    "https://graph.microsoft.com": ("graph.microsoft.com",),
    "https://eventgrid.azure.net": (".eventgrid.azure.net",),
    "https://servicebus.azure.net": (".servicebus.windows.net",),
    "https://cognitiveservices.azure.com": (".cognitiveservices.azure.com", ".openai.azure.com"),
    "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d": (".azuredatabricks.net",),
    "499b84ac-1321-427f-aa17-267ca6975798": ("dev.azure.com", "vsrm.dev.azure.com"),
}


def require_known(statuses: Iterable[int]) -> None:
    """Raise ValueError for a status that can't mean that the request was done."""
    for status in statuses:
        if 300 <= status < 400 or status in (401, 403, 408, 425, 429):
            raise ValueError(f"`expect_status` can't hold {status}: it never means that the request was done")


def require_json(body: Any) -> None:
    """Raise ValueError for a body that can't be written as JSON."""
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("`body` holds what JSON has no form for: put dates in quotes") from None


def require_audience(audience: str, place: Place) -> None:
    """Raise ValueError if a token for the audience would go to a host that it isn't for."""
    if not audience:
        return
    hosts = AUDIENCES.get(audience)
    if hosts is None:
        raise ValueError(f"`audience` is none of {', '.join(AUDIENCES)}")
    if not place.is_here and not any(_belongs(place.host, host) for host in hosts):
        raise ValueError(f"a token for {audience} must not go to {place.host}: it is for {' and '.join(hosts)}")


def _belongs(host: str, to: str) -> bool:
    return host.endswith(to) if to.startswith(".") else host == to


def require_headers(headers: Mapping[str, str], idempotency_header: str) -> None:
    """Raise ValueError for what is no header, or is one that this app or its HTTP client writes."""
    for name, value in {**headers, **({idempotency_header: "x"} if idempotency_header else {})}.items():
        if not _HEADER.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"{name!r} is no header, or its value none: one line of ASCII")
        if _OURS.fullmatch(name):
            raise ValueError(f"the header {name!r} is not the route's to give")
    if idempotency_header.lower() in {name.lower() for name in headers}:
        raise ValueError("`idempotency_header` is among `headers` already")
