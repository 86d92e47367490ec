"""transports/http: TCP connections by hand, byte by byte."""

import contextlib
import http.client
import json
import re
import select
import socket
import threading
import time

import pytest

from by_hand import HELLO, Sse, call, connected, get, post
from processes import fake, wait_until


def stream_by_hand(sender, connection):
    """A session whose stream is on this connection: it is read only as the test reads it. From
    now on `sender`, an Sse, posts to that session."""
    connection.sendall(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
    data = b""
    while not (found := re.search(rb"(/message\?sessionId=\S+)", data)):
        data += connection.recv(2**16)
    sender.endpoint = found[1].decode()
    sender.post(HELLO)


def test_requests_that_come_in_one_piece_are_answered_one_after_another(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sse, connected(running) as (connection, read):
        texts = ["first", "second", "x" * 200_000, "last"]
        calls = [post(sse.endpoint, call(id, "fake__echo", text=text))
                 for id, text in enumerate(texts)]
        connection.sendall(b"".join([
            *calls[:2], b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", *calls[2:]]))
        got = [read() for _ in range(5)]
        assert [status for status, _ in got] == [202, 202, 200, 202, 202]
        answers = [sse.get() for _ in range(4)]
        assert {answer["id"] for answer in answers} == {0, 1, 2, 3}
        assert b'"servers"' in got[2][1]


def test_a_header_of_more_than_32_kb_is_refused(start_router):
    running = start_router({"fake": fake()})
    for size, expected in [(30_000, 200), (40_000, 431)]:
        with connected(running) as (connection, read):
            connection.sendall(b"GET /health?%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
                               % (b"x" * size))
            assert read()[0] == expected


def test_bytes_that_come_one_by_one_are_a_request_too(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sse, connected(running) as (connection, read):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(sse.endpoint, call(1, "fake__echo", text="drip")):
            connection.sendall(bytes([byte]))
        assert read()[0] == 202 and "drip" in str(sse.get())


def test_a_client_that_is_too_far_behind_is_closed_even_if_it_never_reads(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sender, connected(running) as (connection, _):
        stream_by_hand(sender, connection)
        for id in range(20):
            sender.post(call(id, "fake__big", bytes=6_000_000))
        running.wait_for("bytes\\) behind")
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        assert poll.poll(10_000)


def test_a_client_that_closes_its_side_gets_the_answers_to_what_it_has_sent(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sse:
        for _ in range(20):
            with connected(running) as (connection, read):
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
                                   + post(sse.endpoint, {"id": 1, "method": "ping"}))
                connection.shutdown(socket.SHUT_WR)
                assert [read()[0] for _ in range(4)] == [200, 200, 200, 202]
                assert connection.recv(1) == b""


def test_a_stream_to_a_slow_reader_never_stands_still(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sender, connected(running) as (connection, _):
        stream_by_hand(sender, connection)
        posting = threading.Thread(target=lambda: [
            sender.post(call(id, "fake__big", bytes=900_000)) for id in range(30)])
        posting.start()
        # 64 KB, a breath, 64 KB.
        received, longest, breath = 0, 0.0, threading.Event()
        while received < 30 * 900_000:
            begun = time.monotonic()
            received += len(connection.recv(2**16))
            longest = max(longest, time.monotonic() - begun)
            breath.wait(0.002)
        posting.join()
        assert longest < 10  # it was 29


def test_a_stream_whose_client_does_not_read_does_not_hold_up_the_end(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sender, connected(running) as (connection, _):
        stream_by_hand(sender, connection)
        for id in range(30):
            sender.post(call(id, "fake__big", bytes=900_000))
        assert wait_until(lambda: '"callsInFlight":0' in get(f"{running.url}/health")[1])
        begun = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begun < 4  # the patience with workers is 5 seconds
    assert not any("still running" in line for line in running.lines)


def test_old_and_impolite_clients_get_their_answer_and_the_end_of_the_connection(start_router):
    running = start_router({"fake": fake()})
    with Sse(running.url) as sse:
        message = post(sse.endpoint, call(1, "fake__echo", text="1.0"))
        with connected(running) as (connection, read):
            connection.sendall(message.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            assert read()[0] == 202 and read.closes and connection.recv(1) == b""
        with connected(running) as (connection, read):
            connection.sendall(message.replace(b"HTTP/1.1", b"HTTP/1.0\r\nConnection: keep-alive"))
            assert read()[0] == 202 and not read.closes
            connection.sendall(message.replace(b"Host", b"Connection: close\r\nHost"))
            assert read()[0] == 202 and read.closes and connection.recv(1) == b""


@pytest.mark.parametrize("body", ["", "Content-Length: 0"])
def test_a_client_that_expects_to_go_on_without_a_body_poisons_no_header(start_router, body):
    """waitress would feed two requests to one parser, and the cache would keep what came out."""
    running = start_router({"fake": fake()})
    with Sse(running.url) as sse:
        message = post(sse.endpoint, call(1, "fake__echo", text="clean"))
        with connected(running) as (connection, read):
            head = ["GET /health HTTP/1.1", "Host: localhost", "Expect: 100-continue", body]
            connection.sendall("\r\n".join(filter(None, head)).encode() + b"\r\n\r\n")
            assert read()[0] == 200
            connection.sendall(message)
            assert read()[0] == 202 and "clean" in str(sse.get())
        with connected(running) as (connection, read):
            connection.sendall(message)
            assert read()[0] == 202 and "clean" in str(sse.get())


def test_a_client_that_asks_first_sends_its_body_only_if_it_is_wanted(start_router):
    running = start_router({"fake": fake()}, "--max-message", "1")
    with Sse(running.url) as sse:
        head, _, body = post(sse.endpoint, call(1, "fake__echo", text="asked"),
                             "Expect: 100-continue").partition(b"\r\n\r\n")
        with connected(running) as (connection, read):
            connection.sendall(head + b"\r\n\r\n")
            assert read.line() == b"HTTP/1.1 100 Continue\r\n" and read.line() == b"\r\n"
            connection.sendall(body)
            assert read()[0] == 202 and "asked" in str(sse.get())
    for old, new, status in ((b"Content-Length: ", b"Content-Length: 99999", 413),
                             (b"Host: localhost", b"Host: evil.example", 403)):
        with connected(running) as (connection, read):
            connection.sendall(head.replace(old, new) + b"\r\n\r\n")
            assert read()[0] == status and read.closes and connection.recv(1) == b""


def test_a_sender_is_judged_before_its_body_is_read(start_router):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(b"POST /message HTTP/1.1\r\nHost: evil.example\r\n"
                           b"Content-Length: 40000000\r\n\r\n" + b"x" * 10_000)
        assert read()[0] == 403 and read.closes
        assert connection.recv(1) == b""


def test_a_chunk_whose_size_never_ends_is_refused(start_router):
    running = start_router({"fake": fake()})
    for endless in (b"1" * 20_000, b"0\r\n" + b"X: y\r\n" * 20_000):
        with connected(running) as (connection, read):
            connection.sendall(b"POST /message HTTP/1.1\r\nHost: localhost\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n" + endless)
            assert read()[0] == 400 and read.closes


@pytest.mark.parametrize("first, headers", [
    ("POST /message HTTP/1.1", ["Transfer-Encoding: chunked", "Content-Length: 5"]),
    ("POST /message HTTP/1.1", ["Transfer-Encoding: chunked, chunked"]),
    ("POST /message HTTP/1.1", ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]),
    ("POST /message HTTP/1.1", ["Transfer-Encoding: chunked", " , chunked"]),
    ("POST /message HTTP/1.1", ["Transfer-Encoding:"]),
    ("POST /message HTTP/1.0", ["Connection: keep-alive", "Transfer-Encoding: chunked"])])
def test_where_a_body_ends_is_never_in_doubt(start_router, first, headers):
    """RFC 9112, 6.1 and 11.2: else a proxy and we could see different requests."""
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall("\r\n".join([first, "Host: localhost", *headers, "",
                                        "0\r\n\r\nGET /health HTTP/1.1\r\n"
                                        "Host: localhost\r\n\r\n"]).encode())
        assert read()[0] == 400 and connection.recv(1) == b""


def test_a_client_that_says_close_among_other_things_is_heard(start_router):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
                           b"Connection: keep-alive, close\r\n\r\n")
        assert read()[0] == 200 and read.closes and connection.recv(1) == b""


@pytest.mark.parametrize("garbage", [
    b"GET http://[/ HTTP/1.1\r\n\r\n",
    b"POST /sse HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"POST /sse HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"POST\r\n\r\n", b"\x16\x03\x01\r\n\r\n",
    b"POST /message HTTP/1.1\r\nBad Header\r\n\r\n",
    b"POST /message HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"])
def test_what_is_no_http_is_refused(start_router, garbage):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(garbage)
        assert read()[0] in (400, 501) and connection.recv(1) == b""
    assert get(f"{running.url}/health")[0] == 200


@pytest.mark.parametrize("method, path, allowed, words", [
    ("POST", "/sse", "GET", "Use GET here."), ("HEAD", "/sse", "GET", ""),
    ("GET", "/message", "POST", "Use POST here."), ("DELETE", "/health", "GET", "Use GET here.")])
def test_a_wrong_method_is_told_the_right_one(start_router, method, path, allowed, words):
    running = start_router({"fake": fake()})
    connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=20)
    for _ in range(2):  # no byte of a body is left that would be taken for the next answer
        connection.request(method, path)
        response = connection.getresponse()
        assert (response.status, response.headers["Allow"]) == (405, allowed)
        assert words in response.read().decode()
    connection.request("HEAD", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    assert '"streams":0' in get(f"{running.url}/health")[1]


def test_the_front_page_names_the_addresses_and_what_may_stand_behind_them(start_router):
    running = start_router({"fake": fake(), "other": fake()}, groups={"both": ["fake", "other"]})
    text = get(f"{running.url}/")[1]
    assert "put its name behind it: fake, other, both\n" in text
    assert f"HTTP+SSE, its predecessor: {running.url}/sse\n" in text
    connection = http.client.HTTPConnection(running.url.split("/")[2], timeout=20)
    connection.request("GET", "/", headers={"Accept": "text/html"})
    page = connection.getresponse().read().decode()
    connection.close()
    assert "put its name behind it: fake, other, both</p>" in page
    assert f'<a href="{running.url}/sse">' in page


def test_more_connections_than_allowed_wait_until_others_have_gone(start_router):
    running = start_router({"fake": fake()}, files=100)
    with contextlib.ExitStack() as streams:
        for _ in range(50):
            streams.enter_context(Sse(running.url, hello=False))
        last = http.client.HTTPConnection(running.url.split("/")[2], timeout=20)
        last.request("GET", "/health")
        answered = threading.Event()
        waiter = threading.Thread(target=lambda: last.getresponse().read() and answered.set())
        waiter.start()
        assert not answered.wait(0.5)
    assert answered.wait(60)
    waiter.join()
    last.close()
    assert running.stop() == 0 and len(running.lines) < 30  # it was 90,000 a second


@pytest.mark.parametrize("options, files", [(["--max-sessions", "1"], None), ([], 100)])
@pytest.mark.parametrize("begun", [b"", b"POST /message HTTP/1.1\r\nHost: loc",
                                   b"POST /message HTTP/1.1\r\nHost: localhost\r\n"
                                   b"Content-Length: 9\r\n\r\n{"])
def test_connections_that_have_asked_nothing_yet_make_room(start_router, options, files, begun):
    running = start_router({"fake": fake()}, *options, files=files)
    with Sse(running.url) as client, contextlib.ExitStack() as unfinished:
        for _ in range(300):
            connection, _ = unfinished.enter_context(connected(running))
            with contextlib.suppress(ConnectionError):
                connection.sendall(begun)
        assert get(f"{running.url}/health")[0] == 200
        client.post(call(2, "fake__echo", text="still here"))
        assert "still here" in str(client.get())
    assert running.stop() == 0 and len(running.lines) < 30


@pytest.mark.parametrize("line, status", [
    ("GET http://evil.example/health", 403), ("GET http://localhost:1/health", 200),
    ("GET http://a@localhost/health", 403), ("GET //evil.example/health", 404)])
def test_the_host_of_an_absolute_request_line_counts(start_router, line, status):
    running = start_router({"fake": fake()})
    with connected(running) as (connection, read):
        connection.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert read()[0] == status


def test_a_body_may_begin_with_a_byte_order_mark(start_router):
    with Sse(start_router({"fake": fake()}).url) as client:
        status, _ = client.post(b"\xef\xbb\xbf" + json.dumps(
            {"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode())
        assert status == 202 and client.get()["id"] == 2


def test_many_refusals_for_want_of_sessions_are_few_lines_of_the_log(start_router):
    running = start_router({"fake": fake()}, "--max-sessions", "1")
    with Sse(running.url):
        for _ in range(25):
            assert get(f"{running.url}/sse")[0] == 503
    running.stop()
    told = [line for line in running.lines if "a new session was refused" in line]
    assert [re.search(r"no\. (\d+)", line)[1] for line in told] == ["1", "10"]
