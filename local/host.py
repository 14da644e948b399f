"""A local stand-in for the Azure Functions host: `python -m local.host [--app DIR] [--port 0]`.

One process is one worker; several may run side by side on one storage account. Settings are environment
variables, as in Azure, and two of its own: LOCAL_FUNCTION_KEY, the key of functions that are not anonymous,
and LOCAL_QUEUE_LEASE_SECONDS. Prints one line of JSON once everything runs; SIGTERM stops it gently.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from azure_functions_runtime import start_threadpool_executor

from local import host_functions, host_routes, host_settings
from local.host_functions import Function, HostError
from local.host_http import Admin, Front
from local.host_queue_trigger import QueueTrigger
from local.host_queues import Queues
from local.host_routes import Route
from local.host_run import Runner, check_outputs
from local.host_timers import Lock, TimerTrigger

log = logging.getLogger("local.host")

GRACE_SECONDS = 30  # for what is in hand when the worker is told to stop
RECORD = "%(asctime)s %(levelname)s %(name)s: %(message)s"
HOST_ID = "AzureFunctionsWebHost__hostid"  # Azure's own setting: tells apps on one storage account apart
CHATTY = ("azure.core.pipeline.policies.http_logging_policy", "azure.identity", "asyncio", "aiohttp.access")


@dataclass
class Worker:
    """The functions of one app, ready to run."""

    routes: list[Route]
    triggers: dict[str, QueueTrigger | TimerTrigger]

    @property
    def names(self) -> list[str]:
        """The names of all functions that run."""
        return sorted([route.function.name for route in self.routes] + list(self.triggers))


def worker(functions: list[Function], settings: host_settings.Settings, queues: Queues, host_id: str) -> Worker:
    """Set up each function. One that cannot start is logged and left out, the others run, as in Azure."""
    made = Worker([], {})
    runner = Runner(queues)
    for declared in functions:
        if host_functions.disabled(declared, os.environ):
            continue
        try:
            function = host_functions.resolved(declared, os.environ)
            check_outputs(function, queues)
            if function.trigger["type"] == "httpTrigger":
                made.routes.append(host_routes.route(function, settings.route_prefix))
            elif function.trigger["type"] == "queueTrigger":
                made.triggers[function.name] = QueueTrigger(function, settings, queues, runner)
            else:
                made.triggers[function.name] = TimerTrigger(function, runner, Lock(host_id, function.name))
        except HostError as error:
            log.error("function %s does not start: %s", declared.name, error)
    return made


async def _listen(name: str, trigger: QueueTrigger | TimerTrigger) -> None:
    while True:
        try:
            await trigger.listen()
        except Exception:  # a fault of this host: better loud and late than a trigger that is silently gone
            log.exception("%s: its trigger stumbled and starts again", name)
            await asyncio.sleep(1)


async def serve(app_dir: Path, port: int, announce: TextIO) -> None:
    """Index and run the app in this folder until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    settings = host_settings.read(app_dir)
    functions = host_functions.index(app_dir)
    start_threadpool_executor()
    queues = Queues(settings.message_encoding)
    host_id = os.environ.get(HOST_ID, app_dir.name)
    made = worker(functions, settings, queues, host_id)
    admin: dict[str, Admin] = {name: trigger.admin for name, trigger in made.triggers.items()}
    front = Front(made.routes, admin, Runner(queues))
    url = await front.start(port)
    os.environ.setdefault("WEBSITE_HOSTNAME", url.partition("://")[2])  # as Azure tells an app its own name
    listening = [asyncio.create_task(_listen(*item)) for item in made.triggers.items()]
    print(json.dumps({"url": url, "pid": os.getpid(), "functions": made.names}), file=announce, flush=True)
    await stopped.wait()
    for task in listening:
        task.cancel()
    ends = [asyncio.create_task(end) for end in (front.stop(), *(t.drain() for t in made.triggers.values()))]
    _, unfinished = await asyncio.wait(ends, timeout=GRACE_SECONDS)
    if unfinished:
        log.error("stopped with functions still running")
        os._exit(1)  # their threads would keep the process alive
    await queues.close()


def main() -> None:
    """Run the host from the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--app", type=Path, default=Path(), help="folder of function_app.py")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--log-level", default="WARNING", help="of all records, the app's too")
    options = parser.parse_args()
    logging.basicConfig(level=options.log_level.upper(), format=RECORD, stream=sys.stderr)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The app may print; standard output is for the one line that parents wait for.
    announce, sys.stdout = sys.stdout, sys.stderr
    try:
        asyncio.run(serve(options.app.resolve(), options.port, announce))
    except HostError as error:
        log.error("the app cannot run", exc_info=error.__cause__)
        sys.exit(f"the app cannot run: {error}")


if __name__ == "__main__":
    main()
