"""`events` and `routes`: what changes as it comes, replays to their end, and who is let in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli import follow
from tests.cli.terminal import run
from tests.conftest import Relay, until

ROOT = Path(__file__).parents[2]


def changes(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def dead(relay: Relay, model: str) -> str:
    """A release that the service has refused."""
    relay.system.devops.faults.add("POST", "/Release/releases", status=400, body={"message": "no such thing"})
    event = relay.stage_change(f"release-{model}")
    relay.ended(event)
    relay.system.devops.faults.clear()
    return event


def test_the_list_and_a_story_are_a_table_or_json(relay: Relay, model: str) -> None:
    event = relay.comment(f"slack-{model}", "hello")
    relay.ended(event)
    words = ("events", "list", "--model", f"slack-{model}")
    listed = json.loads(run(*words, "--json", relay=relay).out)
    assert [(each["event"], each["state"]) for each in listed] == [(event, "succeeded")]
    table = run(*words, relay=relay).out
    assert event in table
    assert "tell-slack" in table
    story = json.loads(run("events", "show", event, "--json", relay=relay).out)
    assert [step["state"] for step in story["steps"]] == ["succeeded"]


def test_a_named_event_is_followed_from_its_beginning_to_its_end(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"wait-{model}")
    found = run("events", "tail", event, "--json", "--interval", "0.2", relay=relay)
    assert found.status == 0, found.err
    seen = changes(found.out)
    assert (seen[0]["state"], seen[0]["note"]) == ("received", "routes: run-and-wait")
    states = [each["state"] for each in seen if each["step"] == "run-and-wait.azure_devops_pipeline"]
    assert states[:2] == ["ready", "running"]
    assert states[-1] == "succeeded"
    assert [each["state"] for each in seen if each["step"] == "run-and-wait.slack"] == ["ready", "running", "succeeded"]
    assert len({(each["at"], each["step"], each["state"]) for each in seen}) == len(seen)


def test_a_named_event_that_ends_dead_ends_the_command_with_status_1(relay: Relay, model: str) -> None:
    found = run("events", "tail", dead(relay, model), "--interval", "0.2", relay=relay)
    assert found.status == 1
    assert "no such thing" in found.out


def test_what_comes_is_told_until_interrupted(relay: Relay, model: str) -> None:
    before = relay.comment(f"slack-before-{model}", "hello")
    relay.ended(before)
    words = [sys.executable, "-m", "cli", "events", "tail", "--json", "--interval", "0.2"]
    env = {**os.environ, "RELAY_URL": relay.worker.url, "RELAY_KEY": relay.system.function_key, "PYTHONUNBUFFERED": "1"}
    out = Path(os.environ["AZURE_DEVOPS_CACHE_DIR"]).parent / f"tail-{model}"
    interruptible = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background may not be
    with (
        out.open("w") as file,
        subprocess.Popen(words, cwd=ROOT, env=env, stdout=file, preexec_fn=interruptible) as tail,
    ):
        try:
            event = until(lambda: _told(relay, model, out))
            tail.send_signal(signal.SIGINT)
            assert tail.wait(20) == 0
        finally:
            tail.kill()
    seen = changes(out.read_text())
    assert {"received", "ready", "running", "succeeded"} <= {each["state"] for each in seen if each["event"] == event}
    assert not [each for each in seen if each["event"] == before]


def _told(relay: Relay, model: str, out: Path) -> str | None:
    """Report one comment after the other until the end of one is told: nobody says when the command has begun."""
    event = relay.comment(f"slack-{model}", f"hello {time.monotonic()}")
    relay.ended(event)
    lines = [line for line in out.read_text().splitlines() if line.endswith("}")]
    told = [json.loads(line) for line in lines]
    begun = {each["event"] for each in told if each["state"] == "received" and model in each["model"]}
    return next((each["event"] for each in told if each["state"] == "succeeded" and each["event"] in begun), None)


def test_an_event_that_nobody_knows_ends_the_command_with_status_1(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SOON", timedelta(seconds=0.5))
    found = run("events", "tail", "0" * 64, "--interval", "0.2", relay=relay)
    assert (found.status, found.out) == (1, "")
    assert "no event" in found.err


def test_a_replay_is_followed_to_its_end(relay: Relay, model: str) -> None:
    event = dead(relay, model)
    found = run("events", "replay", event, "--follow", relay=relay)
    assert (found.status, found.out.splitlines()[-1]) == (0, "1 ended well, 0 did not, 0 have not ended yet")
    assert relay.ended(event).steps["release.azure_devops_release"].state == "succeeded"


def test_a_replay_that_fails_again_ends_with_status_1(relay: Relay, model: str) -> None:
    event = dead(relay, model)
    relay.system.devops.faults.add("POST", "/Release/releases", status=400, body={"message": "still no such thing"})
    found = run("events", "replay", event, "--follow", relay=relay)
    assert found.status == 1
    assert "still no such thing" in found.out


def test_a_bulk_replay_is_followed_step_by_step(relay: Relay, model: str) -> None:
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    events = {dead(relay, f"{model}{number}") for number in range(3)}
    found = run("events", "replay", "--since", since, "--follow", relay=relay)
    assert found.status == 0, found.out + found.err
    ready = {line.split()[-1] for line in found.out.splitlines() if line.startswith("ready: ")}
    assert events <= ready
    assert sum(line.startswith("succeeded") for line in found.out.splitlines()) == len(ready)


def test_following_ends_when_its_time_is_over(relay: Relay, model: str) -> None:
    event = dead(relay, model)
    relay.system.devops.faults.add("POST", "/Release/releases", times=None, status=429, headers={"Retry-After": "600"})
    found = run("events", "replay", event, "--follow", "--seconds", "1.5", relay=relay)
    assert found.status == 1
    assert "1 have not ended yet" in found.out


def test_commands_that_speak_to_the_app_want_its_address_and_the_others_do_not() -> None:
    assert run("events", "list").status == 2
    assert run("routes", "list").status == 2
    assert run("events", "list", RELAY_URL="http://relay.example.com", RELAY_KEY="k").status == 2
    assert run("send", "--list").status == run("check", "routes.yaml").status == 0


def test_a_wrong_key_is_told_and_ends_with_status_1(relay: Relay) -> None:
    found = run("events", "list", RELAY_URL=relay.worker.url, RELAY_KEY="wrong")
    assert found.status == 1
    assert "RELAY_KEY" in found.err


def test_with_an_audience_the_app_is_asked_with_an_entra_token(relay: Relay) -> None:
    receiver = relay.system.receiver
    url = receiver.demand("entra", audience="api://relay")
    refused = run("routes", "list", RELAY_URL=url)
    assert (refused.status, "RELAY_AUDIENCE" in refused.err) == (1, True)
    run("routes", "list", RELAY_URL=url, RELAY_AUDIENCE="api://relay", RELAY_KEY="a-key")
    got = receiver.received[-1]
    assert (got.name, got.path, got.headers["x-functions-key"]) == ("entra", "/entra/api/routes", "a-key")


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, "<html>sign in</html>", {}),
        (200, [], {}),
        (200, {"unlike": "this app"}, {}),
        (302, "", {"Location": "https://login.example.com"}),
        (403, "", {}),
        (500, {"error": {"deep": 1}}, {}),
        (503, "[", {}),
    ],
)
def test_what_does_not_answer_as_the_app_does_ends_with_a_reason(
    relay: Relay, status: int, body: Any, headers: dict[str, str]
) -> None:
    relay.system.receiver.faults.add("GET", "/odd", times=None, status=status, body=body, headers=headers)
    for words in (("routes", "list"), ("events", "list"), ("events", "show", "x")):
        found = run(*words, RELAY_URL=f"{relay.system.receiver.url}/odd", RELAY_KEY="a-key")
        assert (found.status, found.out) == (1, "")
        assert len(found.err) > 10


def test_whoever_follows_the_app_stays_through_a_restart(relay: Relay) -> None:
    receiver = relay.system.receiver
    add = receiver.faults.add
    add("GET", "/restarted", times=1, status=200, body={"events": []})
    add("GET", "/restarted", times=2, drop=True)
    add("GET", "/restarted", times=1, status=503)
    add("GET", "/restarted", times=None, status=200, body={"events": []})
    url = f"{receiver.url}/restarted"
    found = run("events", "tail", "--interval", "0.2", "--seconds", "1", RELAY_URL=url)
    assert (found.status, found.err) == (0, "")
    statuses = [call.status for call in receiver.faults.calls("GET", "/restarted")]
    assert statuses[:5] == [200, None, None, 503, 200]


def test_nobody_at_the_address_ends_with_a_reason() -> None:
    found = run("events", "list", RELAY_URL="http://127.0.0.1:1")
    assert (found.status, "can't be reached" in found.err) == (1, True)


def test_a_route_is_stopped_listed_and_started(relay: Relay) -> None:
    assert run("routes", "stop", "stoppable", "--reason", "[red]a test[/]", relay=relay).status == 0
    listed = run("routes", "list", relay=relay).out
    assert [line for line in listed.splitlines() if "stopped" in line and "[red]a test[/]" in line]
    assert run("routes", "start", "stoppable", relay=relay).status == 0
    routes = json.loads(run("routes", "list", "--json", relay=relay).out)
    assert [route["stopped"] for route in routes if route["route"] == "stoppable"] == [None]
    unknown = run("routes", "start", "../events", relay=relay)
    assert (unknown.status, unknown.out) == (1, "")


def test_help_is_given_for_every_command_with_an_example() -> None:
    for words in (
        ("check",),
        ("plan",),
        ("send",),
        *(("events", name) for name in ("list", "show", "tail", "replay", "resolve")),
        *(("routes", name) for name in ("list", "stop", "start")),
    ):
        found = run(*words, "--help")
        assert (found.status, "Example: python -m cli" in " ".join(found.out.split())) == (0, True), words


def test_help_needs_none_of_the_heavy_packages() -> None:
    heavy = ("requests", "azure", "msrest", "aiohttp", "mlflow", "apprise", "yaml")
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom cli.commands import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
