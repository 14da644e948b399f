"""Ports that are kept for a child process until it is there."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from local.ports import Port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ports are kept on Linux only")


def test_a_kept_port_refuses_calls_and_is_given_to_no_program_that_only_asks_for_one() -> None:
    port = Port()
    with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
        caller.connect(("127.0.0.1", port.number))
    others = [Port() for _ in range(500)]
    assert port.number not in {other.number for other in others}
    for each in (port, *others):
        each.release()


def test_the_child_that_is_told_the_port_can_listen_there_and_come_back() -> None:
    port = Port()

    async def listen() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port.number)
        _, writer = await asyncio.open_connection("127.0.0.1", port.number)
        writer.close()
        server.close()
        await server.wait_closed()

    asyncio.run(listen())
    asyncio.run(listen())
    port.release()


def test_a_second_server_is_refused_while_the_child_listens() -> None:
    port = Port()

    async def listen_twice() -> None:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", port.number):
            await asyncio.start_server(lambda *_: None, "127.0.0.1", port.number)

    with pytest.raises(OSError, match="address already in use"):
        asyncio.run(listen_twice())
    port.release()


def test_a_released_port_is_free() -> None:
    port = Port()
    port.release()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))
