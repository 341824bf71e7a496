"""The web server beside the worker's loop: it answers while that one is busy, and fails as the server does."""

import asyncio
import gc
import socket
import threading
import urllib.request
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from stream_app.errors import SettingsError
from stream_app.metrics import Metrics
from stream_app.settings import Web
from stream_app.web import Live, Status, WebServer
from stream_app.web.thread import WebThread


def made(port: int = 0) -> WebServer:
    metrics = Metrics()
    status = Status(metrics)
    return WebServer(Web(port=port), metrics, status, Live(metrics, status))


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    server = made()
    thread = WebThread(server)
    await thread.start()
    yield server
    await thread.stop()


async def test_it_answers_while_the_workers_loop_is_busy(server: WebServer) -> None:
    answered = threading.Event()

    def ask() -> None:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=60) as answer:
            if answer.status == 200:
                answered.set()

    client = threading.Thread(target=ask)
    client.start()
    assert answered.wait(60)  # this blocks the loop that the test runs on
    client.join()


async def test_a_port_in_use_stops_the_start_up_and_a_server_never_started_stops_well(server: WebServer) -> None:
    other = WebThread(made(int(server.url.rpartition(":")[2])))
    with pytest.raises(SettingsError, match=r"^setting web\.port"):
        await other.start()
    await other.stop()
    await WebThread(made()).stop()


async def test_a_connection_that_comes_while_it_stops_is_closed() -> None:
    for before in range(8):
        server = made()
        thread = WebThread(server)
        await thread.start()
        place = ("127.0.0.1", URL(server.url).port or 0)
        stopping = asyncio.create_task(thread.stop())
        for _ in range(before):
            await asyncio.sleep(0)
        clients = [socket.socket() for _ in range(6)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(place)
        await stopping
        for client in clients:
            client.close()
        del server, thread, stopping
        gc.collect()  # the test fails on a socket that was left open
