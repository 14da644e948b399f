"""Registry Relay on one page: each function, its trigger, and what it hands on.

azure.functions is imported here and nowhere else; what happens is in `handlers/`, imported when first needed, since
every import up here is paid at each cold start.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, List  # noqa: UP035  # the runtime takes Out[typing.List[str]], not Out[list[str]]

import azure.functions as func

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handlers.asked import Asked
    from handlers.operate import Reply
    from handlers.pages import Page
    from shared.messages import StepMessage

app = func.FunctionApp()
STORAGE = "AzureWebJobsStorage"


@app.route("webhooks/{source}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)  # the signature is the gate
@app.queue_output("events", queue_name="events", connection=STORAGE)
async def receive_delivery(req: func.HttpRequest, events: func.Out[str], context: func.Context) -> func.HttpResponse:
    """Verify a registry's delivery and put its event on the queue `events`, before it is answered 202."""
    from handlers.receive import receive

    trace = context.trace_context.trace_parent or ""
    answer = await receive(req.route_params["source"], _headers(req), req.get_body(), time.time(), trace)
    if answer.message:
        events.set(answer.message)
    return _json(answer.status, answer.body, answer.headers)


@app.queue_trigger("message", queue_name="events", connection=STORAGE)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def route_event(message: func.QueueMessage, steps: func.Out[List[str]]) -> None:  # noqa: UP006
    """Write an event to the ledger; run its first step, or point to each where several routes match."""
    from handlers.route import route_event

    _point(steps, route_event(message.get_body(), _now))


@app.queue_trigger("message", queue_name="steps", connection=STORAGE)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def run_step(message: func.QueueMessage, steps: func.Out[List[str]]) -> None:  # noqa: UP006
    """Take one step one turn further; go on with what follows from it, or point to it."""
    from handlers.run import run_step

    _point(steps, run_step(message.get_body(), _now))


@app.timer_trigger("timer", schedule="%SWEEP_SCHEDULE%")
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def sweep(timer: func.TimerRequest, steps: func.Out[List[str]]) -> None:  # noqa: UP006
    """Point again to every step that is due or stranded."""
    from handlers.sweep import sweep

    _point(steps, sweep(_now()))


@app.timer_trigger("timer", schedule="%RECONCILE_SCHEDULE%")
def reconcile(timer: func.TimerRequest) -> None:
    """Tell or enqueue what the registries hold and no webhook reported, for the sources that ask for it."""
    from handlers.reconcile import reconcile

    reconcile(_now)


@app.timer_trigger("timer", schedule="0 17 3 * * *")
def prune(timer: func.TimerRequest) -> None:
    """Forget what is older than RETENTION_DAYS, and take away what crashes have left behind at targets."""
    from handlers.prune import prune
    from handlers.reconcile import forget
    from handlers.tidy import tidy

    prune(_now())
    forget(_now())
    tidy()


@app.queue_trigger("message", queue_name="events-poison", connection=STORAGE)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def route_poisoned_event(message: func.QueueMessage, steps: func.Out[List[str]]) -> None:  # noqa: UP006
    """Route once more what route_event was given up on, or keep it."""
    from handlers.poison import route_poisoned_event

    _point(steps, route_poisoned_event(message.get_body(), _now))


@app.queue_trigger("message", queue_name="steps-poison", connection=STORAGE)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def retry_poisoned_step(message: func.QueueMessage, steps: func.Out[List[str]]) -> None:  # noqa: UP006
    """Count what run_step could not take as a failed attempt."""
    from handlers.poison import retry_poisoned_step

    _point(steps, retry_poisoned_step(message.get_body(), _now))


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def check_health(req: func.HttpRequest) -> func.HttpResponse:
    """Say whether deliveries can be judged and stored: 200 green, or 503 red with the reasons."""
    from handlers.health import health

    healthy, body = health()
    return _json(200 if healthy else 503, body, {})


@app.route("doctor", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def examine(req: func.HttpRequest) -> func.HttpResponse:
    """Say of all that can be wrong how it stands, judged by the app's own identity, and what to do."""
    from handlers.doctor.examination import examine

    return _json(200, examine(_now()), {})


@app.route("events", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def list_events(req: func.HttpRequest) -> func.HttpResponse:
    """List events, newest first: a page for a browser, else JSON."""
    from handlers import operate_pages

    return _told(operate_pages.list_events(_asked(req), _now))


@app.route("events/{event}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def show_event(req: func.HttpRequest) -> func.HttpResponse:
    """Tell one event's whole story: a page for a browser, else JSON."""
    from handlers import operate_pages

    return _told(operate_pages.show_event(req.route_params["event"], _asked(req)))


@app.route("events/{event}/confirm", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def confirm_action(req: func.HttpRequest) -> func.HttpResponse:
    """Ask a person once more before a replay or a resolve; opening the page does nothing."""
    from handlers import operate_pages

    return _told(operate_pages.confirm(req.route_params["event"], _asked(req), _now))


@app.route("events/{event}/replay", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def replay_event(req: func.HttpRequest, steps: func.Out[List[str]]) -> func.HttpResponse:  # noqa: UP006
    """Replay one step, or what is dead of one event."""
    from handlers import operate, operate_pages

    return _pointing(steps, operate_pages.act(req.route_params["event"], _asked(req), _now, operate.replay_one))


@app.route("replay", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def replay_events(req: func.HttpRequest, steps: func.Out[List[str]]) -> func.HttpResponse:  # noqa: UP006
    """Replay what is dead of all events since a time."""
    from handlers import operate_pages

    return _pointing(steps, operate_pages.act_on_many(_asked(req), _now))


@app.route("events/{event}/resolve", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def resolve_step(req: func.HttpRequest, steps: func.Out[List[str]]) -> func.HttpResponse:  # noqa: UP006
    """Note by hand that a dead or parked step was done."""
    from handlers import operate, operate_pages

    return _pointing(steps, operate_pages.act(req.route_params["event"], _asked(req), _now, operate.resolve))


@app.route("routes", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def list_routes(req: func.HttpRequest) -> func.HttpResponse:
    """List the routes, and which of them are stopped: a page for a browser, else JSON."""
    from handlers import operate_routes_pages

    return _told(operate_routes_pages.list_routes(_asked(req), _now))


@app.route("routes/{route}/stop", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def stop_route(req: func.HttpRequest) -> func.HttpResponse:
    """Stop a route without a deployment: its steps are parked instead of acting."""
    from handlers import operate_routes, operate_routes_pages

    route, call = req.route_params["route"], operate_routes.stop_route
    return _told(operate_routes_pages.switch("stop", route, _asked(req), _now, call))


@app.route("routes/{route}/start", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def start_route(req: func.HttpRequest) -> func.HttpResponse:
    """Let a stopped route act again, and replay what was parked if asked to."""
    from handlers import operate_routes, operate_routes_pages

    route, call = req.route_params["route"], operate_routes.start_route
    return _told(operate_routes_pages.switch("start", route, _asked(req), _now, call))


@app.route("approvals/{link}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)  # the signed link is the key
def show_approval(req: func.HttpRequest) -> func.HttpResponse:
    """Show what a person is asked to approve; opening the page decides nothing."""
    from handlers.approve import show

    return _page(show(req.route_params["link"], _headers(req), _now()))


@app.route("approvals/{link}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output("steps", queue_name="steps", connection=STORAGE)
def decide_approval(req: func.HttpRequest, steps: func.Out[List[str]]) -> func.HttpResponse:  # noqa: UP006
    """Take a person's decision and wake the step up that waits for it."""
    from handlers.approve import submit

    page, pointers = submit(req.route_params["link"], _headers(req), req.get_body(), _now())
    _point(steps, pointers)
    return _page(page)


def _now() -> datetime:
    return datetime.now(UTC)


def _headers(req: func.HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in req.headers.items()}


def _asked(req: func.HttpRequest) -> Asked:
    from urllib.parse import urlsplit

    from handlers.asked import Asked

    return Asked(_headers(req), req.params, req.get_body(), urlsplit(req.url).path)


def _told(reply: Reply) -> func.HttpResponse:
    headers = {"Vary": "Accept", "Cache-Control": "no-store"}
    return _page(reply.page) if reply.page else _json(reply.status, reply.body, headers)


def _page(page: Page) -> func.HttpResponse:
    return func.HttpResponse(page.html, status_code=page.status, headers=page.headers, mimetype="text/html")


def _json(status: int, body: dict[str, object], headers: dict[str, str]) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")


def _pointing(steps: func.Out[List[str]], reply: Reply) -> func.HttpResponse:  # noqa: UP006
    _point(steps, reply.pointers)
    return _told(reply)


def _point(steps: func.Out[List[str]], pointers: Iterable[StepMessage]) -> None:  # noqa: UP006
    from shared.messages import encode

    texts = [encode(pointer) for pointer in pointers]
    if texts:
        steps.set(texts)
