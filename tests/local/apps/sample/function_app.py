"""What the host has to be able to do, one function each. Queue functions tell queue `done` what they saw."""

import base64
import json
import os
import threading
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
meeting = threading.Barrier(2)

print("an app may print")  # noqa: T201  and must not disturb whoever waits for the host's first line


@app.route("echo/{word}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "query": dict(req.params),
        "word": req.route_params["word"],
        "body": base64.b64encode(req.get_body()).decode(),
    }
    headers = {"X-Word": req.route_params["word"], "Set-Cookie": "flavour=oat; Path=/"}
    return func.HttpResponse(json.dumps(seen), status_code=203, mimetype="application/json", headers=headers)


@app.route("echo/fixed")
def fixed(req: func.HttpRequest) -> str:
    return "the literal part wins"


@app.route("boom")
def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("boom went the function")


@app.route("nothing")
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None  # type: ignore[return-value]


@app.route("locked", auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> str:
    return "open"


@app.route("meet")
def meet(req: func.HttpRequest) -> str:
    meeting.wait(timeout=30)
    return "met"


@app.route("work", methods=["POST"])
@app.queue_output("message", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
def send(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    message.set(req.get_body().decode())
    return func.HttpResponse(status_code=202)


@app.route("late", methods=["POST"])
@app.queue_output("messages", queue_name="%WORK_QUEUE%-late", connection="AzureWebJobsStorage")
async def send_late(req: func.HttpRequest, messages: func.Out[typing.List[str]]) -> func.HttpResponse:  # noqa: UP006
    messages.set(req.get_body().decode().split())
    return func.HttpResponse(status_code=202)


@app.queue_trigger("message", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
@app.queue_output("$return", queue_name="%DONE_QUEUE%", connection="AzureWebJobsStorage")
def work(message: func.QueueMessage) -> str:
    text = message.get_body().decode()
    if text == os.environ.get("HANG_ON"):
        threading.Event().wait(float(os.environ.get("HANG_SECONDS", "60")))
    if "fail always" in text or ("fail once" in text and message.dequeue_count == 1):
        raise RuntimeError(text)
    seen = {"text": text, "id": message.id, "count": message.dequeue_count, "pid": os.getpid()}
    assert message.id is None or (message.insertion_time and message.expiration_time)
    return json.dumps(seen)


@app.queue_trigger("message", queue_name="%WORK_QUEUE%-late", connection="AzureWebJobsStorage")
@app.queue_output("seen", queue_name="%DONE_QUEUE%", connection="AzureWebJobsStorage")
def late(message: func.QueueMessage, seen: func.Out[str]) -> None:
    seen.set(json.dumps({"text": message.get_body().decode()}))


@app.timer_trigger("timer", schedule="%TICK_SCHEDULE%", run_on_startup=False)
@app.queue_output("seen", queue_name="%DONE_QUEUE%", connection="AzureWebJobsStorage")
def tick(timer: func.TimerRequest, seen: func.Out[str]) -> None:
    seen.set(json.dumps({"text": "tick", "past_due": timer.past_due, "pid": os.getpid()}))
