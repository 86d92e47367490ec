"""transports/http/streamable over TCP connections by hand: POSTs that wait, and that break."""

import contextlib
import http.client
import json
import socket
import struct

import pytest

from by_hand import call, connected, get, post
from processes import fake, wait_until
from streamable_by_hand import Http


def threads(running):
    """How many threads the router has."""
    with open(f"/proc/{running.process.pid}/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("Threads:")))


def session_header(client):
    return f"Mcp-Session-Id: {client.id}"


def test_a_call_that_waits_for_its_server_holds_no_thread(start_router):
    running = start_router({"fake": fake()})
    client, before = Http(running), threads(running)
    with contextlib.ExitStack() as stack:
        for id in range(200):
            connection, _ = stack.enter_context(connected(running))
            connection.sendall(post("/mcp", call(id, "fake__sleep", seconds=60),
                                    session_header(client)))
        assert wait_until(lambda: '"callsInFlight":200' in get(f"{running.url}/health")[1])
        assert threads(running) == before
        assert client.post(call(999, "fake__echo", text="swift"))[0] == 200


def test_a_client_that_does_not_read_its_answers_holds_up_nobody(start_router):
    running = start_router({"fake": fake()})
    client = Http(running)
    with connected(running) as (connection, _):
        connection.settimeout(0.5)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        piece = post("/mcp", call(1, "fake__big", bytes=2**20), session_header(client))
        with contextlib.suppress(TimeoutError):
            for _ in range(5000):  # until the router stops reading, because we do not read
                connection.sendall(piece)
        assert client.post(call(2, "fake__echo", text="untouched"))[0] == 200


def test_a_client_that_hangs_up_on_a_waiting_call_is_forgotten_but_the_call_goes_on(start_router):
    running = start_router({"fake": fake()})
    client = Http(running)
    with connected(running) as (connection, _):
        connection.sendall(post("/mcp", call(1, "fake__sleep", seconds=1),
                                session_header(client)))
        assert wait_until(lambda: '"callsInFlight":1' in get(f"{running.url}/health")[1])
    assert '"callsInFlight":1' in get(f"{running.url}/health")[1]  # 2025-11-25: no cancellation
    assert wait_until(lambda: '"callsInFlight":0' in get(f"{running.url}/health")[1])
    assert client.post(call(1, "fake__echo", text="still here"))[0] == 200


def test_a_client_that_pipelines_and_does_not_read_holds_up_nobody(start_router):
    running = start_router({"fake": fake()})
    rude, client = Http(running), Http(running)
    with connected(running) as (connection, _):
        connection.sendall(b"".join(post("/mcp", call(id, "fake__big", bytes=900_000),
                                         session_header(rude)) for id in range(14)))
        assert wait_until(lambda: '"callsInFlight":0' in get(f"{running.url}/health")[1])
        for id in range(20):
            status, _, body = client.post(call(id, "fake__echo", text=f"untouched {id}"))
            assert status == 200 and f"untouched {id}" in body


def test_clients_that_pipeline_and_do_not_read_hold_no_worker(start_router):
    running = start_router({"fake": fake()})
    client = Http(running)
    with contextlib.ExitStack() as stack:
        for id in range(0, 40, 2):
            connection, _ = stack.enter_context(connected(running))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"".join(post("/mcp", call(id + more, "fake__big", bytes=6_000_000),
                                             session_header(client)) for more in (0, 1)))
        assert wait_until(lambda: '"callsInFlight":0' in get(
            f"{running.url}/health")[1])
        Http(running)  # initialize is a worker's work too
        connection, read = stack.enter_context(connected(running))
        connection.sendall(b"".join(post("/mcp", call(id, "fake__big", bytes=6_000_000),
                                         session_header(client)) for id in (100, 101)))
        assert [json.loads(read()[1])["id"] for _ in range(2)] == [100, 101]


def test_a_connection_that_ends_in_an_error_is_a_client_that_has_gone(start_router):
    running = start_router({"fake": fake()}, "--log-level", "debug")
    client = Http(running)
    with connected(running) as (connection, _):
        connection.sendall(post("/mcp", call(1, "fake__sleep", seconds=2), session_header(client)))
        assert wait_until(lambda: '"callsInFlight":1' in get(f"{running.url}/health")[1])
        # It is reset: our next look at it is an error, and not its end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    running.wait_for(f"{client.id[:6]}: the client of a POST has hung up")


def test_requests_that_come_in_one_piece_are_answered_one_after_another(start_router):
    running = start_router({"fake": fake()})
    client = Http(running)
    with connected(running) as (connection, read):
        texts = ["first", "second", "x" * 200_000, "last"]
        connection.sendall(b"".join(
            post("/mcp/", call(id, "fake__echo", text=text), session_header(client))
            for id, text in enumerate(texts)))
        got = [read() for _ in texts]
        assert [status for status, _ in got] == [200] * 4
        assert [json.loads(body)["id"] for _, body in got] == [0, 1, 2, 3]


@pytest.mark.parametrize("method, path, allowed, words", [
    ("POST", "/sse", "GET", "Use GET here. Streamable HTTP is at /mcp."),
    ("HEAD", "/mcp", "GET", ""),
    ("PUT", "/mcp/fake", "DELETE, GET, POST", "Use DELETE or GET or POST here.")])
def test_a_wrong_method_is_told_the_right_one(start_router, method, path, allowed, words):
    running = start_router({"fake": fake()})
    connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    assert (response.status, response.headers["Allow"]) == (405, allowed)
    assert words in response.read().decode()
    connection.close()
