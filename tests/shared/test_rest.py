"""What an HTTP outcome means for a step: done, not now, never, or nobody knows. By status, and over real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from email.utils import formatdate

import certifi
import pytest
import requests
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from local.serving import StandIn, certificate, serve
from shared.errors import AmbiguousFailure, Failure, PermanentFailure, TransientFailure
from shared.rest import MAX_REPLY_BYTES, MAX_RETRY_AFTER, failure_of_error, judge, post, retry_after

ASKING, ACTING = ["GET", "HEAD", "OPTIONS"], ["POST", "PUT", "PATCH", "DELETE"]
TRANSIENT, PERMANENT, AMBIGUOUS = TransientFailure, PermanentFailure, AmbiguousFailure

STATUSES: dict[int, tuple[type[Failure] | None, type[Failure] | None]] = {  # status: (asking, acting)
    **dict.fromkeys((200, 201, 202, 204, 206), (None, None)),
    **dict.fromkeys((203, 302, 401, 403), (PERMANENT, PERMANENT)),
    **dict.fromkeys((301, 303, 304, 307, 308), (PERMANENT, PERMANENT)),
    **dict.fromkeys((400, 404, 405, 409, 410, 412, 413, 415, 422, 424, 451), (PERMANENT, PERMANENT)),
    **dict.fromkeys((408, 425, 429), (TRANSIENT, TRANSIENT)),
    **dict.fromkeys((500, 501, 502, 503, 504, 507, 599), (TRANSIENT, AMBIGUOUS)),
}
CASES = [
    pytest.param(status, method, outcome, id=f"{method}-{status}")
    for status, (asking, acting) in STATUSES.items()
    for methods, outcome in ((ASKING, asking), (ACTING, acting))
    for method in methods
]


def judged(status: int, method: str = "POST", headers: dict[str, str] | None = None, message: str = "no") -> Failure:
    with pytest.raises(Failure) as failure:
        judge(status, headers or {}, message, method, "Slack")
    return failure.value


@pytest.mark.parametrize(("status", "method", "outcome"), CASES)
def test_a_status_means_one_kind_of_failure(status: int, method: str, outcome: type[Failure] | None) -> None:
    if outcome is None:
        judge(status, {}, "done", method, "Slack")
    else:
        assert type(judged(status, method)) is outcome


@pytest.mark.parametrize("status", [203, 302, 401, 403])
def test_a_sign_in_page_is_told_as_what_it_is(status: int) -> None:
    reason = judged(status, message="<html>\n  Sign in\n</html>").reason
    assert reason == f"Slack did not accept the credentials ({status}): <html> Sign in </html>"


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_the_services_own_words_are_told_on_one_line(status: int) -> None:
    assert judged(status, message="channel\n  not found").reason == f"Slack answered {status}: channel not found"
    assert judged(status, message=" ").reason == f"Slack answered {status}: no message"


@pytest.mark.parametrize(("status", "method"), [(429, "POST"), (408, "GET"), (503, "GET"), (503, "POST"), (500, "PUT")])
def test_the_wish_to_be_asked_later_is_kept(status: int, method: str) -> None:
    failure = judged(status, method, {"Retry-After": "120"})
    assert isinstance(failure, TransientFailure | AmbiguousFailure)
    assert failure.retry_after == 120


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-5", 0),
        ("nan", 0),
        ("-nan", 0),
        ("inf", MAX_RETRY_AFTER),
        ("-inf", 0),
        ("1e308", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("", 0),
        ("soon", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("1 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("1 Jan 2020 00:00:00 +99999999999999", 0),
    ],
)
def test_retry_after_is_a_number_of_seconds_within_reason(text: str, seconds: float) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 3500 < retry_after({"Retry-After": formatdate(time.time() + 3600, usegmt=True)}) <= 3601


def test_without_the_header_nothing_is_asked_for() -> None:
    assert retry_after({}) == 0


DATES = r"\A\d{1,2} (Jan|Dec) -?\d{1,25} \d{1,3}:\d\d:\d\d ([+-]\d{1,25}|GMT|-0000)\Z"


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=12) | st.from_regex(DATES))
def test_any_retry_after_is_a_number_of_seconds_within_reason(text: str) -> None:
    assert 0 <= retry_after({"Retry-After": text}) <= MAX_RETRY_AFTER


# Over real sockets

SECRET_PATH = "/services/T000/B000/a-secret-of-the-url"


def failure_of(method: str, url: str, **options: object) -> Failure:
    """What becomes of a real request that ends in an exception."""
    with pytest.raises(requests.RequestException) as error:
        requests.request(method, url + SECRET_PATH, data=b"{}", timeout=(0.3, 0.3), **options)  # type: ignore[arg-type]
    failure = failure_of_error(error.value, method, "Slack")
    assert "a-secret-of-the-url" not in failure.reason
    assert "Slack" in failure.reason
    return failure


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on this machine that takes each connection and does with it what it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with closing(connection), suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def read_request(connection: socket.socket | ssl.SSLSocket) -> None:
    seen = b""
    while not seen.endswith(b"{}") and (more := connection.recv(65536)):
        seen += more


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_is_transient(method: str, closed_port: str) -> None:
    assert type(failure_of(method, f"http://{closed_port}")) is TransientFailure


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_host_is_transient(method: str) -> None:
    assert type(failure_of(method, "http://no-such-host.invalid")) is TransientFailure


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_takes_too_long_is_transient(method: str) -> None:
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for one in (first, second):  # the queue of connections is full now: the next one waits
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        assert type(failure_of(method, f"http://127.0.0.1:{listening.getsockname()[1]}")) is TransientFailure


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_that_nobody_vouches_for_is_transient(host: str) -> None:
    with serve(web.Application(), certificate().context) as running:
        url = running.url.replace("127.0.0.1", host)
        assert type(failure_of("POST", url, verify=certifi.where())) is TransientFailure


def closes_at_once(connection: socket.socket) -> None:
    read_request(connection)


def resets(connection: socket.socket) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def says_nothing(connection: socket.socket) -> None:
    read_request(connection)
    connection.recv(1)


def stops_in_the_body(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def stops_in_a_chunk(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf")


def hangs_in_the_body(connection: socket.socket) -> None:
    stops_in_the_body(connection)
    connection.recv(1)


def packs_badly(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf")


def is_no_http(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


LOST = [
    closes_at_once,
    resets,
    says_nothing,
    stops_in_the_body,
    stops_in_a_chunk,
    hangs_in_the_body,
    packs_badly,
    is_no_http,
]


@pytest.mark.parametrize("answer", LOST, ids=[each.__name__ for each in LOST])
@pytest.mark.parametrize(("method", "outcome"), [("GET", TransientFailure), ("POST", AmbiguousFailure)])
def test_a_lost_reply_leaves_a_request_that_acts_in_doubt(
    answer: Callable[[socket.socket], None], method: str, outcome: type[Failure]
) -> None:
    with server(answer) as address:
        assert type(failure_of(method, f"http://{address}")) is outcome


def breaks_tls(connection: socket.socket) -> None:
    with certificate().context.wrap_socket(connection, server_side=True) as tls:
        read_request(tls)
        with socket.socket(fileno=tls.detach()) as bare:
            bare.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            bare.recv(1)


def ends_tls_badly(connection: socket.socket) -> None:
    with certificate().context.wrap_socket(connection, server_side=True) as tls:
        read_request(tls)
        socket.socket(fileno=tls.detach()).close()


@pytest.mark.parametrize("answer", [breaks_tls, ends_tls_badly], ids=["breaks", "ends"])
def test_tls_that_breaks_after_the_request_leaves_it_in_doubt(answer: Callable[[socket.socket], None]) -> None:
    with server(answer) as address:
        assert type(failure_of("POST", f"https://{address}", verify=certificate().ca_file)) is AmbiguousFailure


class Service(StandIn):
    """Counts what it is told."""

    count = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/told", self._told), web.get("/page", self._page)]

    async def _told(self, request: web.Request) -> web.Response:
        self.count += 1
        return web.Response(text=(await request.json())["text"])

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text="a page")


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


def posted(service: Service) -> Failure:
    with pytest.raises(Failure) as failure:
        post(f"{service.url}/told", {"text": "x"}, "Slack")
    return failure.value


def test_a_post_returns_the_reply(service: Service) -> None:
    assert post(f"{service.url}/told", {"text": "naïve ✓ \ud83d"[:7]}, "Slack") == "naïve ✓"
    assert service.count == 1


def test_a_post_is_sent_once_and_never_again_by_itself(service: Service) -> None:
    service.faults.add("POST", "/told", times=None, before=False, drop=True)
    assert type(posted(service)) is AmbiguousFailure
    assert service.count == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_follows_no_redirect(service: Service, status: int) -> None:
    service.faults.add("POST", "/told", status=status, headers={"Location": f"{service.url}/page"})
    assert type(posted(service)) is PermanentFailure
    assert [call.path for call in service.faults.log] == ["/told"]


def test_a_post_tells_the_services_words_and_wish_for_time(service: Service) -> None:
    service.faults.add("POST", "/told", status=429, headers={"retry-after": "7"}, body="slow down")
    failure = posted(service)
    assert isinstance(failure, TransientFailure)
    assert (failure.reason, failure.retry_after) == ("Slack answered 429: slow down", 7)


def test_a_long_error_page_is_told_in_part(service: Service) -> None:
    service.faults.add("POST", "/told", status=500, body="x" * 100_000)
    assert len(posted(service).reason) < 400


def test_an_answer_without_end_does_not_fill_the_memory(service: Service) -> None:
    service.faults.add("POST", "/told", status=200, body="x" * (MAX_REPLY_BYTES + 1))
    failure = posted(service)
    assert type(failure) is AmbiguousFailure
    assert failure.reason == f"the reply of Slack is longer than {MAX_REPLY_BYTES} bytes"


def test_a_character_set_that_nobody_knows_is_read_as_utf_8(service: Service) -> None:
    content = {"Content-Type": "text/plain; charset=nonsense"}
    service.faults.add("POST", "/told", status=400, body="no, \u00fc", headers=content)
    assert posted(service).reason == "Slack answered 400: no, \u00fc"


NO_URLS = {
    "no scheme": "x",
    "no scheme but a host": "//x",
    "no host": "http://",
    "empty host": "http:///x",
    "other scheme": "ftp://127.0.0.1/x",
    "star": "http://*.x/",
    "port": "http://127.0.0.1:99999/",
    "long label": f"https://{'a' * 64}.invalid/",
}


@pytest.mark.parametrize("url", NO_URLS.values(), ids=NO_URLS.keys())
def test_a_url_that_cannot_be_called_stays_a_definite_no(url: str) -> None:
    with pytest.raises(PermanentFailure):
        post(url, {}, "Slack")


def test_a_payload_that_is_no_json_is_a_definite_no() -> None:
    with pytest.raises(PermanentFailure):
        post("http://127.0.0.1:9/", {"a": float("nan")}, "Slack")
