"""transports/http/connection.py and request.py: what they use of waitress, and the headers that
they know already."""

import contextlib
import http.client
import re
import select
import socket
import threading
import types

import flask
import pytest
from hypothesis import given, strategies
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver

from transports.http import http_sse
from transports.http import request as request_module
from transports.http.connection import LEAST_BYTES, STUCK_LOOKS, ClientConnection
from transports.http.replies import BY_WORKER, Reply
from transports.http.request import Request
from transports.http.server import LOOK_SECONDS, Server
from transports.program.options import Access, Options
from transports.program.signals import interruptible

from by_hand import HELLO, Sse, post
from processes import ROOT, wait_until
from world import World, offers

# [(class, attribute)]: those that are explained, and those that are only named
LIST = request_module.__doc__
USED = re.findall(r"^    ([A-Z]\w+)\.(\w+)  ", LIST, re.MULTILINE) + [
    (kind, name) for kind, names in re.findall(
        r"^    ([A-Z]\w+)  +(\w+(?: \w+)*(?:\n {9,}\w+(?: \w+)*)*)$", LIST, re.MULTILINE)
    for name in names.split()]


def test_waitress_has_every_private_part_that_we_use():
    request = HTTPRequestParser(Adjustments())
    data = post("/message", HELLO)
    while not request.completed:
        data = data[request.received(data):]
    found = {type(one).__name__: dir(one) for one in (
        request, request.body_rcv, ChunkedReceiver(None))}
    missing = [f"{kind}.{name}" for kind, name in USED if name not in found[kind]]
    assert len(USED) > 20 and missing == []


def test_each_part_in_that_list_is_used():
    code = "".join(path.read_text("utf-8").replace(LIST, "")
                   for path in (ROOT / "transports/http").glob("*.py"))
    assert [name for _, name in USED if not re.search(rf"\b{name}\b", code)] == []


class SlowSocket:
    """A socket of which a send takes until `may_send` is set."""

    def __init__(self, real):
        self._real, self.sends, self.may_send = real, threading.Event(), threading.Event()

    def send(self, data):
        self.sends.set()
        assert self.may_send.wait(30)
        return self._real.send(data)

    def __getattr__(self, name):
        return getattr(self._real, name)


class Way:
    """A way in that answers a request to /slow later."""

    def __init__(self):
        self.begun = []

    def reads(self, _request):
        return ()

    def post(self, request, *_more):
        self.begun.append(request.path)
        return None if request.path == "/slow" else Reply(b"", "200 OK")


def test_what_comes_behind_the_last_request_of_a_connection_while_that_is_answered_never_begins():
    way, (client, ours) = Way(), socket.socketpair()
    ours.setblocking(False)
    slow = SlowSocket(ours)
    connection = ClientConnection(types.SimpleNamespace(
        loop=types.SimpleNamespace(changed=lambda _connection: None),
        new_request=lambda: Request(judge, [way], {}, ADJUSTMENTS)), slow)
    with client, ours:
        client.sendall(post("/slow", HELLO, "Connection: close"))
        connection.read()
        answer = threading.Thread(target=connection.answer, args=(Reply(b"", "200 OK"),))
        answer.start()
        assert slow.sends.wait(30)
        client.sendall(post("/behind", HELLO))
        read = threading.Thread(target=connection.read)
        read.start()
        assert wait_until(lambda: not select.select([ours], [], [], 0)[0])  # it has been read
        slow.may_send.set()
        answer.join()
        read.join()
        assert way.begun == ["/slow"]


@pytest.fixture
def serve(monkeypatch):
    """serve(world, talk): a Server in this thread, until talk(server, its address) returns, which
    runs in another."""
    for name in ("ending", "_raised"):
        monkeypatch.setattr(interruptible, name, False)  # and back to that at the end

    def run(world, talk, **ways):
        listening = socket.create_server(("127.0.0.1", 0))
        address = listening.getsockname()
        options = Options(None, Access(), {}, {**ways, "/sse": http_sse}, {})
        server = Server(world.router, options, [listening], [])
        failed = []

        def client():
            try:
                talk(server, address)
            except BaseException as problem:
                failed.append(problem)
            interruptible.ending = True  # as a signal does: the loop ends with its next turn
            server.loop.changed(None)
        thread = threading.Thread(target=client)
        thread.start()
        with pytest.raises(SystemExit):
            server.run()
        thread.join()
        if failed:
            raise failed[0]
    return run


def test_over_a_connection_a_known_header_is_not_parsed_again(monkeypatch, serve):
    parsed_headers = []

    def parse_header(self, header):
        parsed_headers.append(header)
        parse(self, header)
    parse = HTTPRequestParser.parse_header
    monkeypatch.setattr(HTTPRequestParser, "parse_header", parse_header)
    ids, counts = [], []

    def talk(_server, address):
        with Sse(f"http://127.0.0.1:{address[1]}") as sse, \
                socket.create_connection(address) as connection:
            for id in range(10, 30):
                connection.sendall(post(sse.endpoint, {"id": id, "method": "ping"}))
                ids.append(sse.get()["id"])
                counts.append(len(parsed_headers))
    serve(World(a=offers()), talk)
    assert ids == list(range(10, 30))
    assert counts == [counts[0]] * 20


def test_a_client_that_reads_nothing_for_a_while_is_ended_and_a_slow_one_is_not(serve):
    world = World(a=offers(tools=[{"name": "t", "description": "x" * 20_000_000}]))

    def talk(server, address):
        def behind():
            return [one for one in list(server.loop.connections) if one.unsent]
        with socket.create_connection(address) as rude, \
                socket.create_connection(address) as slow, \
                Sse(f"http://127.0.0.1:{address[1]}") as sender:
            for one in (rude, slow):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
                one.sendall(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
                data = b""
                while not (found := re.search(rb"(/message\?sessionId=\S+)", data)):
                    data += one.recv(2**16)
                sender.endpoint = found[1].decode()
                sender.post(HELLO)
                sender.post({"id": 1, "method": "tools/list"})
            assert wait_until(lambda: len(behind()) == 2)
            poll = select.poll()
            poll.register(rude, select.POLLRDHUP)
            for _ in range(STUCK_LOOKS):
                assert not poll.poll(0)
                unsent = [len(one.unsent) for one in behind()]
                for _ in range(50):
                    assert slow.recv(2**16, socket.MSG_WAITALL)
                assert wait_until(lambda: unsent != [len(one.unsent) for one in behind()])
                world.clock.advance(LOOK_SECONDS)
            world.clock.advance(LOOK_SECONDS)
            assert poll.poll(10_000)
            assert wait_until(lambda: len(behind()) == 1)
    serve(world, talk)


def test_a_connection_on_which_nothing_is_asked_for_two_minutes_is_closed(serve):
    world = World(a=offers())

    def talk(server, address):
        with socket.create_connection(address) as idle, \
                Sse(f"http://127.0.0.1:{address[1]}") as listening:
            assert wait_until(lambda: len(server.loop.connections) >= 2)
            idle.settimeout(10)
            for _ in range(14):
                world.clock.advance(LOOK_SECONDS)
            assert idle.recv(1) == b""
            assert listening.post({"id": 2, "method": "ping"})[0] == 202
    serve(world, talk)


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["by a sender", "by its feeder"])
def test_an_error_while_a_stream_is_written_ends_that_stream_and_its_session(
        serve, monkeypatch, caplog, size):
    world = World(a=offers(tools=[{"name": "t", "description": "x" * size}]))
    really = socket.socket.send

    def send(self, data, *flags):
        if b"a__t" in data:
            raise MemoryError("nothing left")
        return really(self, data, *flags)
    monkeypatch.setattr(socket.socket, "send", send)

    def talk(_server, address):
        with Sse(f"http://127.0.0.1:{address[1]}") as broken, \
                Sse(f"http://127.0.0.1:{address[1]}") as other:
            assert broken.post({"id": 2, "method": "tools/list"})[0] == 202
            with pytest.raises((ConnectionError, http.client.IncompleteRead)):
                assert not broken.response.read()
                raise ConnectionError
            assert wait_until(lambda: len(world.router.sessions.all()) == 1)
            other.post({"id": 2, "method": "ping"})
            assert other.get()["id"] == 2
    serve(world, talk)
    assert "MemoryError: nothing left" in caplog.text


@pytest.mark.parametrize("begun", [b"POST", b"POST /message HTTP/1.1\r\nHost: localhost\r\nX: ",
                                   b"POST /message HTTP/1.1\r\nHost: localhost\r\n"
                                   b"Content-Length: 999\r\n\r\n"])
def test_a_request_that_does_not_come_to_its_end_is_dropped_though_bytes_come(serve, begun):
    world = World(a=offers())

    def talk(server, address):
        with socket.create_connection(address) as connection:
            connection.settimeout(10)
            connection.sendall(begun)
            (one,) = wait_for_connections(server, 1)
            for size in range(2):
                wait_until(lambda: one._coming)
                world.clock.advance(LOOK_SECONDS)
                with contextlib.suppress(ConnectionError):
                    connection.sendall(b"x")
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
            assert wait_until(lambda: not server.loop.connections)
    serve(world, talk)


def test_a_long_body_may_take_its_time(serve):
    world, piece = World(a=offers()), 2 * LEAST_BYTES

    def talk(server, address):
        with Sse(f"http://127.0.0.1:{address[1]}") as sse, \
                socket.create_connection(address) as connection:
            message = post(sse.endpoint, {"id": 7, "method": "ping", "params": {
                "x": "x" * 4 * piece}})
            for start in range(0, 4 * piece, piece):
                connection.sendall(message[start:start + piece])
                assert wait_until(lambda: any(
                    one._coming and one._coming.body_bytes_received > start + piece - 1000
                    for one in list(server.loop.connections)))
                world.clock.advance(LOOK_SECONDS)
            connection.sendall(message[4 * piece:])
            assert sse.get()["id"] == 7
    serve(world, talk)


def wait_for_connections(server, count):
    assert wait_until(lambda: len(server.loop.connections) == count)
    return list(server.loop.connections)


class EchoWay:
    """Another way in at the path of HTTP+SSE, for requests that say so in a header."""

    title, path = "Echo", "/echo"

    def __init__(self, _router, _clock, workers, _heartbeat):
        self._workers = workers

    def views(self):
        return flask.Blueprint("echo", __name__)

    def reads(self, request):
        return request.path == "/message" and request.header("X-Way") or None

    def post(self, request, way, connection, quickly):
        if quickly:
            return BY_WORKER
        if way == "bug":
            raise ValueError("a bug")
        if way == "late":
            self.late = threading.Thread(target=connection.answer, args=(Reply(b"", "210 Late"),))
            self.late.start()
            return None
        if way == "stream":
            self._connection, self._body = connection, request.body()
            connection.become_stream(self)
            return None
        return Reply(request.body(), "200 OK")

    def as_stream(self):
        return self._workers.open_stream(
            self._connection, [b"data: 1\n\n", self._body], None, lambda: None)


def test_another_way_in_may_share_a_path_and_answer_at_once_or_with_a_stream(serve):
    def ask(address, way):
        connection = http.client.HTTPConnection(*address, timeout=20)
        connection.request("POST", "/message", b"body", {"X-Way": way} if way else {})
        response = connection.getresponse()
        try:
            return response.status, response.headers["Content-Type"], response.read()
        finally:
            connection.close()

    def talk(_server, address):
        assert ask(address, "echo") == (200, None, b"body")
        assert ask(address, "stream") == (200, "text/event-stream; charset=utf-8",
                                          b"data: 1\n\nbody")
        status, _, words = ask(address, "bug")
        assert status == 500 and b"its log says more" in words
        status, _, words = ask(address, None)
        assert status == 404 and b"GET /sse" in words
    serve(World(a=offers()), talk, echo=EchoWay)


def test_an_error_in_the_thread_that_brings_the_answer_to_a_post_ends_its_connection(
        serve, monkeypatch, caplog):
    really = socket.socket.send

    def send(self, data, *flags):
        if b"210 Late" in data:
            raise MemoryError("nothing left")
        return really(self, data, *flags)
    monkeypatch.setattr(socket.socket, "send", send)

    def talk(server, address):
        connection = http.client.HTTPConnection(*address, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/message", b"", {"X-Way": "late"})
            with pytest.raises(ConnectionError):
                connection.getresponse()
        assert wait_until(lambda: not server.loop.connections)
        server.ways[0].late.join()
    serve(World(a=offers()), talk, echo=EchoWay)
    assert "MemoryError: nothing left" in caplog.text


def test_a_known_header_is_read_again_after_some_seconds(serve):
    """So the guards hear again who comes, which they forget in time."""
    world, read = World(a=offers()), []

    class Reader(EchoWay):
        def reads(self, request):
            read.append(request.head)

    def talk(server, address):
        with Sse(f"http://127.0.0.1:{address[1]}") as client:
            for seconds in (0, 0, LOOK_SECONDS):
                world.clock.advance(seconds)
                assert client.post({"id": 2, "method": "ping"})[0] == 202
        assert read.count(read[-1]) == 2
    serve(world, talk, echo=Reader)


ADJUSTMENTS = Adjustments()
NAMES = strategies.sampled_from(["Host", "Accept", "X-A", "x-a", "Content_Type", "Connection",
                                 "Expect", "Transfer-Encoding", "Content-Length"])
VALUES = strategies.sampled_from(["a", "b, c", "x", "close", "keep-alive", "100-continue",
                                  "chunked", "5", "0", "7", "\xe9", " x "])


def judge(method, path, header):
    """Whoever says that he is x is refused."""
    return "no" if header("X-A") == "x" else None, [("X", method)]


def parsed(known, data):
    """What a parser makes of the bytes: its attributes, with the body; and what is left."""
    parser = Request(judge, [], known, ADJUSTMENTS)
    while data and not parser.completed:
        data = data[parser.received(data):]
    return {**vars(parser), "_known": None, "body_rcv": parser.get_body_stream().read(),
            "error": parser.error and (type(parser.error), parser.error.body)}, data


@given(strategies.lists(strategies.lists(strategies.tuples(NAMES, VALUES), max_size=4),
                        min_size=1, max_size=6),
       strategies.sampled_from(["POST /message HTTP/1.1", "POST /a%20b?c=d HTTP/1.0",
                                "GET / HTTP/1.1"]))
def test_a_header_that_is_known_means_what_it_meant(requests, first):
    known = {}
    for headers in requests + requests:
        for body in (b"12345", b"abcdefgh"):
            data = "\r\n".join([first, *(f"{name}: {value}" for name, value in headers), "", ""])
            data = data.encode("latin-1") + body
            assert parsed(known, data) == parsed({}, data)


@given(strategies.lists(strategies.tuples(NAMES, VALUES), max_size=4), strategies.data())
def test_in_whatever_pieces_a_request_comes_it_is_the_same(headers, data):
    head = "\r\n".join(["POST /message HTTP/1.1", *(
        f"{name}: {value}" for name, value in headers), "", ""])
    whole = begun = head.encode("latin-1") + b"5\r\nabcde\r\n0\r\n\r\n"
    request = Request(judge, [], {}, ADJUSTMENTS)
    rest = b""
    while (begun or rest) and not request.completed:
        size = data.draw(strategies.integers(min(1, len(begun)), len(begun)))
        piece, begun = rest + begun[:size], begun[size:]
        rest = piece[request.received(piece):]
    other = Request(judge, [], {}, ADJUSTMENTS)
    while whole and not other.completed:
        whole = whole[other.received(whole):]
    assert (request.completed, request.body_bytes_received, request.refused, request.body()) == (
        other.completed, other.body_bytes_received, other.refused, other.body())


def test_what_is_kept_of_headers_is_bounded_and_was_let_in(monkeypatch):
    monkeypatch.setattr(request_module, "KNOWN_HEADERS", 10)
    known = {}
    for size in range(100):
        parsed(known, post("/message", HELLO, f"X: {'x' * size}"))
        assert 0 < len(known) <= 10
    before = {**known}
    parsed(known, post("/message", HELLO, f"X: {'x' * 2000}"))
    parsed(known, post("/message", HELLO, "X-A: x"))
    assert known == before


def test_of_a_request_that_is_refused_the_body_is_neither_read_nor_taken_for_a_request():
    parser = Request(judge, [], {}, ADJUSTMENTS)
    data = post("/message", HELLO, "X-A: x")
    assert parser.received(data) == len(data)
    assert parser.completed and parser.is_cut_off() and parser.body() == b""
