"""The local host, through its front door: HTTP and queues, on a real Azurite."""

import base64
import http.client
import json
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import requests

from local.azurite import Azurite
from local.worker import ROOT, Host
from tests.local.scenes import APPS, KEY, Scene, until

EVERY_SECOND = "* * * * * *"


def unique(text: str) -> str:
    return f"{text} {uuid.uuid4().hex}"


def raw_post(host: Host, path: str, headers: list[tuple[str, bytes]], body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(host.url).netloc, timeout=30)
    connection.putrequest("POST", path)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    return reply.status, reply.read()


# HTTP


def test_a_request_arrives_and_its_reply_leaves_unchanged(sample: Host) -> None:
    body = bytes(range(256))
    reply = requests.post(f"{sample.url}/api/echo/Barolo?a=1&a=2&empty=", data=body, headers={"X-One": "é".encode()})
    seen = reply.json()
    assert reply.status_code == 203
    assert reply.headers["X-Word"] == "Barolo"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.cookies["flavour"] == "oat"
    assert base64.b64decode(seen["body"]) == body
    assert (seen["method"], seen["word"], seen["query"]) == ("POST", "Barolo", {"a": "1,2"})
    assert seen["url"] == f"{sample.url}/api/echo/Barolo?a=1&a=2&empty="
    assert seen["headers"]["x-one"] == "é"


def test_a_header_sent_twice_arrives_joined_by_a_comma(sample: Host) -> None:
    _, body = raw_post(sample, "/api/echo/x", [("X-Twice", b"one"), ("x-twice", b"two")], b"")
    assert json.loads(body)["headers"]["x-twice"] == "one,two"


def test_a_header_that_is_not_utf8_gives_400(sample: Host) -> None:
    assert raw_post(sample, "/api/echo/x", [("X-Odd", b"\xff\xfe")], b"") == (400, b"")


def test_a_compressed_body_arrives_compressed(sample: Host) -> None:
    _, body = raw_post(sample, "/api/echo/x", [("Content-Encoding", b"gzip")], b"no gzip at all")
    assert base64.b64decode(json.loads(body)["body"]) == b"no gzip at all"


def test_a_chunked_body_arrives_empty_as_in_azure(sample: Host) -> None:
    reply = requests.post(f"{sample.url}/api/echo/x", data=iter([b"one", b"two"]))
    assert reply.json()["body"] == ""


def test_a_body_over_100_megabytes_gives_413(sample: Host) -> None:
    reply = requests.post(f"{sample.url}/api/echo/x", data=bytes(100 * 1024 * 1024 + 1))
    assert (reply.status_code, reply.content) == (413, b"")


def test_an_unknown_path_and_a_wrong_method_give_404_without_a_body(sample: Host) -> None:
    for method, path in [("GET", "/"), ("GET", "/api"), ("GET", "/api/unknown"), ("GET", "/echo/x")]:
        reply = requests.request(method, sample.url + path)
        assert (reply.status_code, reply.content) == (404, b"")
    assert requests.delete(f"{sample.url}/api/echo/x").status_code == 404
    assert requests.get(f"{sample.url}/api/echo/x/y").status_code == 404


def test_routes_ignore_case_and_literal_parts_win_over_parameters(sample: Host) -> None:
    assert requests.get(f"{sample.url}/API/Echo/fixed").text == "the literal part wins"
    assert requests.get(f"{sample.url}/API/Echo/Other/").json()["word"] == "Other"


def test_an_escaped_slash_is_no_border_between_parts(sample: Host) -> None:
    assert requests.get(f"{sample.url}/api/echo/a%2Fb%20c").json()["word"] == "a%2Fb c"


def test_a_function_that_is_not_anonymous_needs_the_key(sample: Host) -> None:
    url = f"{sample.url}/api/locked"
    assert requests.get(url).status_code == 401
    assert requests.get(url, headers={"x-functions-key": "wrong"}).status_code == 401
    assert requests.get(url, headers={"x-functions-key": KEY}).text == "open"
    assert requests.get(url, params={"code": KEY}).text == "open"


def test_an_exception_or_no_reply_at_all_gives_500_without_a_body(sample: Host) -> None:
    for path in ("boom", "nothing"):
        reply = requests.get(f"{sample.url}/api/{path}")
        assert (reply.status_code, reply.content) == (500, b"")
    assert "boom went the function" in sample.log()


def test_requests_are_handled_side_by_side(sample: Host) -> None:
    with ThreadPoolExecutor(2) as pool:
        replies = list(pool.map(requests.get, [f"{sample.url}/api/meet"] * 2))
    assert [reply.text for reply in replies] == ["met", "met"]


# Outputs


def test_a_message_is_in_the_queue_before_the_reply(scene: Scene) -> None:
    host = scene.host(**{"AzureWebJobs.work.Disabled": "true"})
    assert requests.post(f"{host.url}/api/work", data="wine").status_code == 202
    assert [base64.b64decode(content) for content in scene.work.take()] == [b"wine"]


def test_an_output_that_cannot_be_written_gives_500_and_a_later_one_works(scene: Scene) -> None:
    with ExitStack() as stack:
        azurite = stack.enter_context(Azurite())
        own = Scene(azurite, stack)
        host = own.host()
        azurite.stop()
        assert requests.post(f"{host.url}/api/work", data="lost").status_code == 500
        azurite.start()
        assert requests.post(f"{host.url}/api/work", data="kept").status_code == 202
        assert [seen["count"] for seen in own.done.told("kept")] == [1]


def test_a_message_too_large_for_a_queue_gives_500(sample: Host) -> None:
    assert requests.post(f"{sample.url}/api/work", data="x" * 49153).status_code == 500
    assert requests.post(f"{sample.url}/api/work", data="x" * 49152).status_code == 202


def test_a_json_array_makes_several_messages_and_objects_are_printed_anew(sample: Host, shared: Scene) -> None:
    one, other = unique("one"), {"two": unique("two"), "at": "2026-01-01T10:00:00.120Z"}
    requests.post(f"{sample.url}/api/work", data=json.dumps([one, other]))
    printed = json.dumps({**other, "at": "2026-01-01T10:00:00.12Z"}, indent=2)
    assert len(shared.done.told(one, printed)) == 2


def test_text_that_looks_like_json_and_is_none_gives_500(sample: Host) -> None:
    assert requests.post(f"{sample.url}/api/work", data="{not json}").status_code == 500


def test_a_missing_queue_is_created_by_the_first_output_and_its_trigger_finds_it(scene: Scene) -> None:
    host = scene.host()
    assert requests.post(f"{host.url}/api/late", data="one two").status_code == 202
    assert len(scene.done.told("one", "two")) == 2


def test_a_send_wakes_the_trigger_of_the_same_worker(scene: Scene) -> None:
    host = scene.host(log_level="DEBUG")
    requests.post(f"{host.url}/api/work", data="wine")
    scene.done.told("wine")
    assert "work: woken by a message" in host.log()


# Queue triggers


def test_a_message_arrives_with_what_storage_knows_of_it(sample: Host, shared: Scene) -> None:
    text = unique("wine")
    requests.post(f"{sample.url}/api/work", data=text)
    [seen] = shared.done.told(text)
    assert (seen["count"], seen["pid"]) == (1, sample.pid)
    assert uuid.UUID(seen["id"])


def test_a_key_of_the_message_overwrites_what_storage_knows(sample: Host, shared: Scene) -> None:
    text = json.dumps({"id": unique("mine")}, indent=2)
    requests.post(f"{sample.url}/api/work", data=text)
    assert [seen["id"] for seen in shared.done.told(text)] == [json.loads(text)["id"]]


def test_a_failed_message_is_tried_again(sample: Host, shared: Scene) -> None:
    text = unique("fail once")
    requests.post(f"{sample.url}/api/work", data=text)
    assert [seen["count"] for seen in shared.done.told(text)] == [2]


def test_a_message_that_always_fails_ends_in_the_poison_queue(sample: Host, shared: Scene) -> None:
    text = unique("fail always")
    requests.post(f"{sample.url}/api/work", data=text)
    content = base64.b64encode(text.encode()).decode()
    until(lambda: content in shared.poison.take())
    assert f"RuntimeError: {text}" in sample.log()
    assert sample.log().count(f"RuntimeError: {text}") == 3


def test_text_that_is_not_base64_goes_to_the_poison_queue_unread(sample: Host, shared: Scene) -> None:
    text = unique("not base64!")
    until(lambda: requests.post(f"{sample.url}/api/work", data="creates the queue").ok)
    shared.work.put_raw(text)
    until(lambda: text in shared.poison.take())


def test_more_messages_than_a_batch_are_all_run_once(sample: Host, shared: Scene) -> None:
    texts = [unique(str(number)) for number in range(40)]
    requests.post(f"{sample.url}/api/work", data=json.dumps(texts))
    assert sorted(seen["text"] for seen in shared.done.told(*texts)) == sorted(texts)


def test_two_workers_on_one_queue_run_each_message_once(scene: Scene) -> None:
    hosts = [scene.host(), scene.host()]
    texts = [unique(str(number)) for number in range(60)]
    for host, part in zip(hosts, (texts[:30], texts[30:]), strict=True):
        requests.post(f"{host.url}/api/work", data=json.dumps(part))
    assert sorted(seen["text"] for seen in scene.done.told(*texts)) == sorted(texts)


def test_what_a_killed_worker_held_is_run_by_another(scene: Scene) -> None:
    lease = {"LOCAL_QUEUE_LEASE_SECONDS": "2"}
    first = scene.host(HANG_ON="wine", **lease)
    requests.post(f"{first.url}/api/work", data="wine")
    until(lambda: not scene.work.client.peek_messages())
    first.kill()
    second = scene.host(**lease)
    [seen] = scene.done.told("wine")
    assert (seen["count"], seen["pid"]) == (2, second.pid)


def test_a_message_in_hand_keeps_its_lease_and_a_stop_waits_for_it(scene: Scene) -> None:
    slow = scene.host(LOCAL_QUEUE_LEASE_SECONDS="2", HANG_ON="wine", HANG_SECONDS="5")
    requests.post(f"{slow.url}/api/work", data="wine")
    until(lambda: not scene.work.client.peek_messages())
    scene.host(LOCAL_QUEUE_LEASE_SECONDS="2")
    slow.stop()
    assert slow.process.returncode == 0
    assert [(seen["count"], seen["pid"]) for seen in scene.done.told("wine")] == [(1, slow.pid)]


def test_a_failed_message_of_a_poison_queue_stays_unseen_until_its_lease_ends(scene: Scene) -> None:
    name = f"{scene.work.name}-poison"
    host = scene.host(WORK_QUEUE=name, LOCAL_QUEUE_LEASE_SECONDS="1")
    requests.post(f"{host.url}/api/work", data="fail once")
    assert [seen["count"] for seen in scene.done.told("fail once")] == [2]


# Timers and calls by hand


def test_one_of_two_workers_ticks(scene: Scene) -> None:
    hosts = [scene.host(TICK_SCHEDULE=EVERY_SECOND), scene.host(TICK_SCHEDULE=EVERY_SECOND)]
    until(lambda: len(scene.done.told("tick")) >= 3)
    [ticking] = {tick["pid"] for tick in scene.done.told("tick")}
    [owner] = [host for host in hosts if host.pid == ticking]
    [other] = [host for host in hosts if host.pid != ticking]
    owner.stop()
    until(lambda: other.pid in {tick["pid"] for tick in scene.done.told("tick")})


def test_a_timer_that_is_called_by_hand_runs_at_once(scene: Scene) -> None:
    host = scene.host()
    url = f"{host.url}/admin/functions/tick"
    assert requests.post(url, json={"input": ""}).status_code == 401
    assert requests.post(url, json={"input": ""}, headers={"x-functions-key": KEY}).status_code == 202
    assert scene.done.told("tick")[0]["past_due"] is False


def test_a_queue_function_that_is_called_by_hand_gets_the_input(sample: Host, shared: Scene) -> None:
    text = unique("by hand")
    key = {"x-functions-key": KEY}
    url = f"{sample.url}/admin/functions"
    assert requests.post(f"{url}/work", json={"input": text}, headers=key).status_code == 202
    assert [seen["id"] for seen in shared.done.told(text)] == [None]
    assert requests.post(f"{url}/unknown", json={"input": ""}, headers=key).status_code == 404
    assert requests.post(f"{url}/work", data="no json", headers=key).status_code == 400


# Start


def test_an_app_that_cannot_be_indexed_exits_1_and_says_why() -> None:
    command = [sys.executable, "-m", "local.host", "--app", str(APPS / "broken")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "cannot load the wrong function" in ended.stderr
    assert "{'request'}" in ended.stderr


def test_a_function_whose_setting_is_missing_does_not_start_and_the_others_do(scene: Scene) -> None:
    host = scene.host("unset")
    assert host.functions == ["well"]
    assert "setting MISSING_QUEUE is not there" in host.log()
    assert requests.get(f"{host.url}/api/well").text == "well"
