"""Modern requests over TCP connections by hand: streams, hang-ups, pipelines, limits, the end."""

import concurrent.futures
import contextlib
import json
import signal
import socket
import struct

import pytest
from modern_by_hand import META, asks, calls, headers_of, post

from transports.fabric.messages import CAPABILITIES_KEY, LOG_LEVEL_KEY

from by_hand import connected, get
from processes import fake, wait_until

CAN_BE_ASKED = {CAPABILITIES_KEY: {"elicitation": {}}}


def threads(running):
    with open(f"/proc/{running.process.pid}/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("Threads:")))


def health(running):
    return json.loads(get(f"{running.url}/health")[1])


def in_flight(running, number):
    return wait_until(lambda: health(running)["callsInFlight"] == number)


def nothing_is_left(running):
    return wait_until(lambda: all(health(running)[key] == 0 for key in (
        "callsInFlight", "sessions", "streams", "parkedCalls")))


def stream_of(read):
    """The events of the stream that comes now, as they come; comments as None."""
    status = read.line()
    assert b" 200 " in status, status
    head = b"".join(iter(read.line, b"\r\n")).lower()
    assert b"content-type: text/event-stream" in head and b"x-accel-buffering: no" in head
    assert b"mcp-session-id" not in head
    while int(read.line(), 16):
        lines = []
        while (line := read.line()) != b"\r\n":
            lines.append(line)
        for event in filter(None, b"".join(lines).split(b"\n\n")):
            yield None if event.startswith(b":") else json.loads(
                event.partition(b"data: ")[2])
    assert read.line() == b"\r\n"


def exchange(running, data):
    """(status, message) of one POST."""
    with connected(running) as (connection, read):
        connection.sendall(data)
        status, body = read()
        return status, json.loads(body) if body else None


def test_a_call_and_its_answer(start_router):
    running = start_router({"fake": fake()})
    for path, name in ("/mcp", "fake__echo"), ("/mcp/fake", "echo"), ("/mcp", "echo"):
        status, answer = exchange(running, post(calls(name, id="x", text="héllo"), path))
        assert status == 200 and answer["id"] == "x"
        assert answer["result"]["content"] == [{"type": "text", "text": "héllo"}]
    assert exchange(running, post(asks("nosuch")))[0] == 404
    assert exchange(running, post(asks("server/discover"), "/mcp/nosuch"))[0] == 404
    assert nothing_is_left(running)


def test_calls_that_wait_hold_no_thread(start_router):
    running = start_router({"fake": fake()})
    assert exchange(running, post(calls("fake__echo")))[0] == 200
    before = threads(running)
    with contextlib.ExitStack() as stack:
        for id in range(200):
            connection, _ = stack.enter_context(connected(running))
            connection.sendall(post(calls("fake__sleep", id=id, seconds=60)))
        assert in_flight(running, 200)
        assert threads(running) == before
        assert exchange(running, post(calls("fake__echo", text="swift")))[0] == 200
    assert nothing_is_left(running)


def test_progress_comes_on_the_stream_before_the_answer(start_router, timekeeper):
    running = start_router({"time": timekeeper})
    with connected(running) as (connection, read):
        connection.sendall(post(calls("time__wait", meta={"progressToken": "p"}, seconds=0.2)))
        events = [event for event in stream_of(read) if event]
    assert [event["params"]["progressToken"] for event in events[:-1]] == ["p"] * 10
    assert events[-1]["id"] == 1 and "0.2 seconds" in str(events[-1]["result"])
    assert nothing_is_left(running)


@pytest.mark.parametrize("message", [
    calls("fake__sleep", seconds=600), calls("fake__sleep", meta=CAN_BE_ASKED, seconds=600),
    asks("subscriptions/listen", notifications={"toolsListChanged": True})])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_hangs_up_is_forgotten_however_it_does_it(start_router, message, how):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(post(message))
        if message["method"] == "tools/call":
            assert in_flight(running, 1)
        else:
            events = stream_of(read)
            assert [next(events), next(events)][1]["method"].endswith("/acknowledged")
        if how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "half":
            connection.shutdown(socket.SHUT_WR)
            assert nothing_is_left(running)
    assert nothing_is_left(running)


def test_a_client_that_hangs_up_while_its_request_comes_in_is_forgotten(start_router):
    running = start_router({"fake": fake()})
    data = post(calls("fake__sleep", seconds=600))
    for length in 10, len(data) - 1, len(data):
        with connected(running) as (connection, _):
            connection.sendall(data[:length])
    assert nothing_is_left(running)


def test_requests_of_a_pipeline_are_answered_in_their_order(start_router):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(b"".join([
            post(calls("fake__sleep", id=1, seconds=0.3)), post(asks("nosuch", id=2)),
            post(calls("fake__echo", id=3, text="third")), post(asks("tools/list", id=4)),
            post(calls("fake__echo", id=5), Mcp_Name="other"),
            post({"jsonrpc": "2.0", "method": "notifications/x"}),
            post(calls("fake__echo", id=6, text="x" * 2_000_000))]))
        answers = [read() for _ in range(7)]
    assert [status for status, _ in answers] == [200, 404, 200, 200, 400, 202, 200]
    assert [json.loads(body)["id"] for _, body in answers if body] == [1, 2, 3, 4, 5, 6]
    assert not read.closes and nothing_is_left(running)


def test_what_is_too_large_is_refused_and_the_next_client_served(start_router):
    running = start_router({"fake": fake()}, "--max-message", "1")
    for length, chunked in (2_000_000, False), (2_000_000, True):
        with connected(running) as (connection, read):
            data = post(calls("fake__echo", text="x" * length),
                        **({"Content_Length": None, "Transfer_Encoding": "chunked"}
                           if chunked else {}))
            head, _, body = data.partition(b"\r\n\r\n")
            with contextlib.suppress(OSError):
                connection.sendall(head + b"\r\n\r\n" + (
                    b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body))
            assert read()[0] == 413
    assert exchange(running, post(calls("fake__echo")))[0] == 200


def test_a_client_that_does_not_read_its_stream_is_cut_off_and_holds_up_nobody(start_router):
    running = start_router({"fake": fake()})
    meta = {LOG_LEVEL_KEY: "debug"}
    with connected(running) as (connection, _):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(post(calls("fake__flood", meta=meta, lines=150_000)))
        assert running.wait_for("messages .* behind")
        assert exchange(running, post(calls("fake__echo", text="untouched")))[0] == 200
        assert nothing_is_left(running)


def test_as_many_streams_as_may_be(start_router):
    running = start_router({"fake": fake()}, "--max-sessions", "5")
    listen = asks("subscriptions/listen", notifications={})
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection, read = stack.enter_context(connected(running))
            connection.sendall(post(listen))
            events = stream_of(read)
            assert [next(events), next(events)][1]["method"].endswith("/acknowledged")
        status, answer = exchange(running, post(listen))
        assert (status, answer["id"]) == (503, 1) and "max-sessions" in str(answer)
    assert nothing_is_left(running)
    assert exchange(running, post(calls("fake__echo")))[0] == 200


def test_our_end_answers_everybody(start_router):
    running = start_router({"fake": fake()})
    with contextlib.ExitStack() as stack:
        waiting = []
        for message in [calls("fake__sleep", seconds=600), calls("fake__sleep", seconds=600),
                        calls("fake__sleep", meta=CAN_BE_ASKED, seconds=600)]:
            connection, read = stack.enter_context(connected(running))
            connection.sendall(post(message))
            waiting.append(read)
        connection, listens = stack.enter_context(connected(running))
        connection.sendall(post(asks("subscriptions/listen", id="l", notifications={})))
        events = stream_of(listens)
        assert [next(events), next(events)][1]["method"].endswith("/acknowledged")
        assert in_flight(running, 4)
        running.process.send_signal(signal.SIGTERM)
        for read in waiting:
            status, body = read()
            assert status == 200 and json.loads(body)["error"]["code"] == -32000
        *_, last = filter(None, events)
        assert last["id"] == "l" and "result" in last
    assert running.process.wait(60) == 0


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("version", ["2026-07-28", "2099-01-01"])
def test_other_methods_are_not_of_this_era(start_router, method, version):
    running = start_router({"fake": fake()})
    for path in "/mcp", "/mcp/", "/mcp/fake", "/mcp/nosuch":
        with connected(running) as (connection, read):
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
                               f"Mcp-Protocol-Version: {version}\r\nMcp-Session-Id: x\r\n\r\n"
                               .encode())
            status = read.line()
            head = b"".join(iter(read.line, b"\r\n")).lower()
        assert b" 405 " in status and b"allow: post\r\n" in head, (path, status, head)


def test_a_page_may_send_all_that_such_a_client_must(start_router):
    """What a browser asks before it sends a POST of a page."""
    running = start_router({"fake": fake()})
    wanted = [*map(str.lower, headers_of(calls("fake__echo"))), "mcp-param-region",
              "mcp-param-a.b_c", "authorization"]
    wanted = [name for name in wanted if name not in ("host", "accept")]
    with connected(running) as (connection, read):
        connection.sendall(("OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n"
                            "Origin: http://localhost:6274\r\n"
                            "Access-Control-Request-Method: POST\r\n"
                            f"Access-Control-Request-Headers: {','.join(wanted)}\r\n\r\n"
                            ).encode())
        assert b" 204 " in read.line()
        head = {name.strip().lower(): value for name, _, value in (
            line.decode().partition(":") for line in iter(read.line, b"\r\n"))}
    allowed = [name.strip().lower() for name in head["access-control-allow-headers"].split(",")]
    assert set(wanted) <= set(allowed)
    status, answer = exchange(running, post(calls("fake__echo"), Origin="http://localhost:6274"))
    assert status == 200 and answer["id"] == 1
    assert exchange_plain(running, post(calls("fake__echo"), Origin="http://evil.example")) == 403
    assert exchange_plain(running, post(calls("fake__echo"), Host="evil.example")) == 403


def exchange_plain(running, data):
    with connected(running) as (connection, read):
        connection.sendall(data)
        return read()[0]


def test_many_clients_with_equal_ids_get_their_own_answers(start_router):
    running = start_router({"fake": fake()})

    def talk(number):
        with connected(running) as (connection, read):
            found = set()
            for turn in range(50):
                meta = {**META, **(CAN_BE_ASKED if number % 3 == 0 else {})}
                connection.sendall(post(calls("fake__echo", id=1, meta=meta,
                                              text=f"{number} {turn}")))
                status, body = read()
                answer = json.loads(body)
                assert (status, answer["id"]) == (200, 1)
                found.add(answer["result"]["content"][0]["text"] == f"{number} {turn}")
            return found
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert list(pool.map(talk, range(12))) == [{True}] * 12
    assert nothing_is_left(running)


@pytest.mark.parametrize("data", [
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhe",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Method\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Method : x\r\nContent-Length: 0\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Name: a\x00b\r\nContent-Length: 0\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Name: a\nb: c\r\nContent-Length: 0\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Protocol-Version: 2026-07-28\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Protocol-Version: \xff\xfe\r\n\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n" + b"Mcp-Param-A: " + b"x" * 40_000 + b"\r\n\r\n",
])
def test_broken_requests_get_an_error_and_leave_nothing(start_router, data):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(data)
        assert 400 <= int(read.line().split()[1]) < 500
    assert nothing_is_left(running)
    assert exchange(running, post(calls("fake__echo")))[0] == 200
    assert "Traceback" not in "".join(running.lines)
