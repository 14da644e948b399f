"""The whole examination: every check beside the others, each with its time, and all of it within 100 seconds.

What a check can't find out in time is told, too: a service that does not answer now may not answer at night.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from handlers.current_routes import current_routes
from handlers.doctor import counts, registries, secrets, storage, targets
from shared.errors import RelayError, RoutesError
from shared.findings import Finding, defect, ok
from shared.redaction import redacted
from shared.routes import Routes
from shared.settings import settings

CHECK_SECONDS = 40.0
ALL_SECONDS = 90.0
AT_ONCE = 16


@dataclass(frozen=True)
class Check:
    """One thing to look at: what it is called if it does not come to an end, and what looks at it."""

    name: str
    subject: str
    look: Callable[[], Iterable[Finding]]
    began: list[float] = field(default_factory=list)


def examine(now: datetime) -> dict[str, Any]:
    """Return `status` (the worst there is), and the `findings`, the worst first."""
    findings = [*_of_settings_and_routes(), *run_all(list(_checks(now)))]
    order = ("wrong", "warning", "ok")
    findings.sort(key=lambda each: (order.index(each.status), each.check, each.subject))
    told = [{key: redacted(text) for key, text in msgspec.to_builtins(each).items()} for each in findings]
    return {"status": told[0]["status"] if told else "ok", "findings": told}


def _of_settings_and_routes() -> Iterator[Finding]:
    try:
        settings()
        routes = current_routes()
    except RoutesError as error:
        for problem in error.problems:
            yield defect("routes", problem, "mend the routes file; until then deliveries are answered 503", "ROUTES")
    except RelayError as error:
        yield defect("settings", str(error), "mend the app setting", "app settings")
    else:
        yield ok("settings", "all are there and make sense", "app settings")
        yield ok("routes", f"{len(routes.sources)} sources, {len(routes.routes)} routes", "ROUTES")


def _checks(now: datetime) -> Iterator[Check]:
    try:
        settings()
    except RelayError:
        return  # nothing can be asked
    for name, look in storage.CHECKS.items():
        yield Check(name, "storage account", look)
    for subject, look in counts.checks(now).items():
        yield Check("ledger", subject, look)
    try:
        routes = current_routes()
    except RelayError:
        return
    yield from _of(routes, now)


def _of(routes: Routes, now: datetime) -> Iterator[Check]:
    for name, users in secrets.needed(routes).items():
        yield Check("secret", name, lambda name=name, users=users: secrets.look_at(name, users, now))  # type: ignore[misc]
    for name, source in routes.sources.items():
        if source.address:
            yield Check("registry", name, lambda name=name: registries.look_at(name))  # type: ignore[misc]
    cases = targets.cases(routes)
    for case in cases:
        yield Check(case.target, case.subject, case.examine)


def run_all(
    checks: list[Check], check_seconds: float = CHECK_SECONDS, all_seconds: float = ALL_SECONDS
) -> Iterator[Finding]:
    """Yield what the checks find, each as it ends; of one that does not end in its time, that."""
    pool = ThreadPoolExecutor(AT_ONCE, "doctor")
    deadline = time.monotonic() + all_seconds
    running = {pool.submit(_run, check): check for check in checks}
    while running:
        for future in wait(running, timeout=min(0.5, check_seconds), return_when=FIRST_COMPLETED).done:
            running.pop(future)
            yield from future.result()
        for future in [each for each in running if _is_late(running[each], check_seconds, deadline)]:
            yield _late(running.pop(future), future)
    pool.shutdown(wait=False, cancel_futures=True)  # what hangs ends by its own timeouts


def _run(check: Check) -> list[Finding]:
    check.began.append(time.monotonic())
    try:
        return list(check.look())
    except RelayError as error:
        return [defect(check.name, str(error), targets.advice_for(error), check.subject)]
    except Exception as error:  # whatever an SDK raises: the other findings have to be told all the same
        said = str(error).strip().splitlines()
        seen = f"{type(error).__name__}: {said[0][:300]}" if said else type(error).__name__
        return [
            defect(check.name, seen, "it can't be used as it stands: what the service says tells why", check.subject)
        ]


def _is_late(check: Check, check_seconds: float, deadline: float) -> bool:
    now = time.monotonic()
    return now > deadline or (bool(check.began) and now - check.began[0] > check_seconds)


def _late(check: Check, future: Future[list[Finding]]) -> Finding:
    future.cancel()
    seen = "it gave no answer in time" if check.began else "there was no time left to look at it"
    return defect(check.name, seen, "look again; if it stays so, the service or the way to it is down", check.subject)
