import threading
from collections.abc import Iterator

import pytest
import requests
from aiohttp import web

from local.serving import StandIn


class Counter(StandIn):
    """A service whose only deed is to count: what was committed can be seen."""

    count = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/count", self._add), web.get("/count", self._read)]

    async def _add(self, _request: web.Request) -> web.Response:
        self.count += 1
        return web.json_response({"count": self.count}, headers={"X-Real": "yes"})

    async def _read(self, _request: web.Request) -> web.Response:
        return web.json_response({"count": self.count})


@pytest.fixture
def counter() -> Iterator[Counter]:
    with Counter() as service:
        yield service


def post(counter: Counter, timeout: float = 10, **kwargs: object) -> requests.Response:
    return requests.post(f"{counter.url}/count", json={"a": 1}, timeout=timeout, **kwargs)  # type: ignore[arg-type]


def test_without_a_fault_the_real_handler_answers_and_the_call_is_logged(counter: Counter) -> None:
    assert post(counter, params={"q": "x"}).json() == {"count": 1}
    (call,) = counter.faults.log
    assert (call.method, call.path, call.query, call.body) == ("POST", "/count", {"q": "x"}, {"a": 1})
    assert (call.status, call.committed) == (200, True)


def test_a_fault_before_the_handler_commits_nothing(counter: Counter) -> None:
    counter.faults.add("POST", "/count", status=429, headers={"Retry-After": "7"}, body={"message": "slow down"})
    reply = post(counter)
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
    assert reply.json() == {"message": "slow down"}
    assert counter.count == 0
    assert not counter.faults.log[0].committed


def test_a_fault_after_the_handler_hides_what_was_committed(counter: Counter) -> None:
    counter.faults.add("POST", "/count", before=False, status=500, body="<html>oops</html>")
    reply = post(counter)
    assert (reply.status_code, reply.text) == (500, "<html>oops</html>")
    assert reply.headers["Content-Type"].startswith("text/html")
    assert counter.count == 1
    assert (counter.faults.log[0].status, counter.faults.log[0].committed) == (500, True)


@pytest.mark.parametrize(("before", "committed"), [(True, 0), (False, 1)])
def test_a_dropped_connection_leaves_the_caller_without_a_reply(counter: Counter, before: bool, committed: int) -> None:
    counter.faults.add("POST", "/count", before=before, drop=True)
    with pytest.raises(requests.ConnectionError):
        post(counter)
    assert counter.count == committed
    assert counter.faults.log[0].status is None
    assert counter.faults.log[0].committed == bool(committed)


def test_a_hang_after_the_commit_outlasts_the_callers_patience(counter: Counter) -> None:
    counter.faults.add("POST", "/count", before=False, hang=60)
    with pytest.raises(requests.ReadTimeout):
        post(counter, timeout=0.3)
    assert counter.count == 1
    assert counter.faults.log[0].status is None


def test_after_a_hang_the_real_reply_still_arrives_for_those_who_wait(counter: Counter) -> None:
    counter.faults.add("POST", "/count", before=False, hang=0.05)
    assert post(counter).json() == {"count": 1}


def test_a_slow_service_answers_as_usual_in_the_end(counter: Counter) -> None:
    counter.faults.add("POST", "/count", slow=0.05)
    assert post(counter).json() == {"count": 1}


def test_headers_alone_are_added_to_the_real_reply(counter: Counter) -> None:
    counter.faults.add("POST", "/count", headers={"Retry-After": "3", "X-RateLimit-Remaining": "0"})
    reply = post(counter)
    assert (reply.status_code, reply.headers["Retry-After"], reply.headers["X-Real"]) == (200, "3", "yes")
    assert counter.count == 1


def test_a_fault_happens_as_often_as_asked_and_only_where_it_matches(counter: Counter) -> None:
    counter.faults.add("POST", "/count$", times=2, status=503)
    assert requests.get(f"{counter.url}/count", timeout=5).status_code == 200
    assert [post(counter).status_code for _ in range(3)] == [503, 503, 200]


def test_faults_without_an_end_last_until_they_are_cleared(counter: Counter) -> None:
    counter.faults.add("*", ".*", times=None, drop=True)
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            post(counter)
    counter.faults.clear()
    assert post(counter).ok


def test_the_log_never_holds_a_credential(counter: Counter) -> None:
    post(counter, headers={"Authorization": "Bearer very-secret", "X-IDENTITY-HEADER": "also-secret"})
    assert counter.faults.log[0].headers["Authorization"] == "Bearer"
    assert "secret" not in repr(counter.faults.log)


def test_what_the_service_refuses_by_itself_counts_as_not_committed(counter: Counter) -> None:
    reply = requests.delete(f"{counter.url}/count", timeout=5)
    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET,HEAD,POST")
    assert not counter.faults.log[0].committed


def test_each_turn_of_a_fault_is_taken_once_however_many_ask_at_once(counter: Counter) -> None:
    counter.faults.add("POST", "/count", times=5, status=503)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(post(counter).status_code)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 7 + [503] * 5
    assert len(counter.faults.calls("POST", "count")) == 12
