"""Any HTTP host, and any service of Apprise: bearers, signing secrets, the app's own token, URLs."""

from __future__ import annotations

from typing import Any

from local.azure_resource_manager import error_body
from tests.canary.echoing import echoes, some
from tests.canary.planting import Planting

AUDIENCE = "https://dev.azuresynapse.net"
REFUSALS = echoes(error_body)


def plant_http(planting: Planting) -> None:
    """Requests that are let in, and some that are refused with what they said."""
    receiver = planting.system.receiver
    good = {
        "bearer": receiver.demand("http-bearer", bearer=planting.keep("http-bearer")),
        "signing": receiver.demand("http-signing", signing_secret=planting.keep("http-signing")),
        "audience": receiver.demand("http-audience", audience=AUDIENCE),
    }
    for kind, url in good.items():
        _request(planting, kind, f"http-{kind}", url, "succeeded")
        for trouble, fault in (REFUSALS if kind == "bearer" else some(REFUSALS, "json-400", "page-401")).items():
            name = f"http-{kind}-{trouble}"
            receiver.faults.add("*", f"^/{name}$", times=None, **fault)
            if kind != "audience":
                planting.keep(name)
            _request(planting, kind, name, f"{receiver.url}/{name}")


def _request(planting: Planting, kind: str, name: str, url: str, ends: str = "dead") -> None:
    secret = {"audience": AUDIENCE} if kind == "audience" else {f"{kind}_secret": name}
    model = "http" if ends == "succeeded" else "refused-by-http"
    planting.route(name, "http", {"url": url, "body": {"model": "{model}"}, **secret}, ends, model=model)


def plant_notify(planting: Planting) -> None:
    """A service that takes messages, and some that refuse them with what they were sent, or do not answer."""
    receiver = planting.system.receiver
    trouble: dict[str, dict[str, Any]] = {**REFUSALS, "timeout": {"hang": 2.0}}
    place = receiver.url.removeprefix("http://")
    for name, fault in {"notified": {}, **{f"notify-{each}": fault for each, fault in trouble.items()}}.items():
        planting.keep(name, f"json://relay:{{}}@{place}/{name}/{{}}?rto=0.5&cto=0.5")
        if fault:
            receiver.faults.add("*", f"^/{name}/", times=None, **fault)
        options = {"url_secret": name, "text": "{model}: {comment}"}
        ends, model = ("dead", "refused-notice") if fault else ("succeeded", "notice")
        planting.route(name, "notify", options, ends, model=model)
