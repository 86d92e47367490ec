"""transports/stateless/http_post.py: a POST, and its answer. The TCP connection is played here;
test_http_sockets.py has real ones."""

import json
import logging
import threading

import pytest
from modern_by_hand import META, Played, asks, calls, error_of, post

from transports.fabric.messages import (CAPABILITIES_KEY, CLIENT_INFO_KEY, LOG_LEVEL_KEY,
                                        VERSION_KEY, with_params)
from transports.fabric.outbox import CLOSE
from transports.fabric.session import Session, UsedUp

from played_connection import HEARTBEAT, Connection, Streams, parsed, posted
from world import World, offers

CAN_BE_ASKED = {CAPABILITIES_KEY: {"elicitation": {}}}
TOKEN = {"progressToken": "p"}


@pytest.fixture
def played():
    return Played(World(a=offers(tools=["t"], prompts=["p"], capabilities={"logging": {}})))


@pytest.fixture
def server(played):
    return played.world["a"]


def call(played, **meta):
    """A POST that waits; `id` is what the server has to answer."""
    connection = played.posts(calls("a__t", meta=meta))
    assert connection.reply is None and connection.answers == connection.streams == []
    connection.id = played.world["a"].take()["id"]
    return connection


def heard(connection):
    """What has come on the stream that a POST has become; CLOSE at its end."""
    (stream,) = connection.streams
    got = []
    while found := stream._outbox.get(0):
        if found is CLOSE:
            return [*got, CLOSE]
        got += map(json.loads, found)
    return got


def posts_of(played):
    """Those that wait, as AnswerPosts."""
    return [session.exchange for session in played.world.router.sessions.all()]


def nothing_is_left(played):
    return played.world.router.sessions.all() == [] and len(played.world.pool.sessions) == 0


# -- what is no proper request


@pytest.mark.parametrize("body, code", [
    (b"", -32700), (b"{", -32700), (b"\xff", -32700), (b"null", -32600), (b"5", -32600),
    (b'"x"', -32600), (b"[]", -32600), (b"{}", -32600), (b"[" * 300 + b"]" * 300, -32700),
    (b'{"jsonrpc": "2.0", "id": NaN, "method": "x"}', -32700),
    (b'{"jsonrpc": "2.0", "id": 1e999, "method": "x"}', -32700),
    (b'{"jsonrpc": "2.0", "id": null, "method": "x"}', -32600),
    (b'{"jsonrpc": "2.0", "id": true, "method": "x"}', -32600),
    (b'{"jsonrpc": "2.0", "id": {}, "method": "x"}', -32600),
    (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', -32600),
    (b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}', -32600),
])
def test_what_is_no_request_is_a_400_without_an_id(played, body, code):
    status, answer = played.answer(None, body=body, Mcp_Method="x")
    assert (status, answer["error"]["code"], answer["id"]) == (400, code, None)


def test_a_batch_is_refused_as_a_whole(played, server):
    status, answer = played.answer([calls("a__t"), calls("a__t", id=2)], Mcp_Method="tools/call")
    assert (status, answer["error"]["code"]) == (400, -32600) and server.takes() == []


@pytest.mark.parametrize("broken", [{"jsonrpc": "1.0"}, {"jsonrpc": None}, {"method": 5}])
def test_a_request_that_is_broken_otherwise_gets_its_id_back(played, broken):
    status, answer = played.answer({**asks("tools/list", id="x"), **broken}, Mcp_Method="x")
    assert (status, answer["error"]["code"], answer["id"]) == (400, -32600, "x")


@pytest.mark.parametrize("params", [None, [], "x", 5])
def test_params_that_are_no_object_are_refused(played, params):
    message = {**asks("tools/list"), "params": params}
    assert error_of(played.answer(message)) == (400, -32602)


@pytest.mark.parametrize("headers, status", [
    ({"Accept": "application/json"}, 406), ({"Accept": "text/event-stream"}, 406),
    ({"Accept": "text/html"}, 406), ({"Accept": "application/json, text/event-stream;q=0"}, 406),
    ({"Accept": "*/*"}, 200), ({"Accept": None}, 200),
    ({"Accept": "text/*, application/json;q=0.1"}, 200),
    ({"Content_Type": "text/plain"}, 415), ({"Content_Type": None}, 415),
    ({"Content_Type": "application/json; charset=utf-8"}, 200),
    ({"Content_Type": "application/json, application/json"}, 415),
])
def test_what_a_client_takes_and_brings(played, headers, status):
    assert played.answer(asks("tools/list"), **headers)[0] == status


@pytest.mark.parametrize("meta, text", [
    ({CAPABILITIES_KEY: None}, "clientCapabilities"), ({CAPABILITIES_KEY: []}, "Capabilities"),
    ({VERSION_KEY: None}, "protocolVersion"), ({LOG_LEVEL_KEY: "loud"}, "logLevel"),
    ({LOG_LEVEL_KEY: 5}, "logLevel"),
])
def test_a_meta_that_lacks_something_is_a_400_that_says_what(played, server, meta, text):
    status, answer = played.answer(calls("a__t", id=9, meta=meta))
    assert (status, answer["error"]["code"], answer["id"]) == (400, -32602, 9)
    assert text in answer["error"]["message"] and server.takes() == []


def test_who_says_too_much_of_itself_gets_a_400_that_says_so(played, server):
    call(played, **{CAPABILITIES_KEY: {"x": "x" * 99_000}})
    status, answer = played.answer(calls("a__t", meta={CAPABILITIES_KEY: {"x": "x" * 100_000}}))
    assert (status, answer["error"]["code"]) == (400, -32602)
    assert "more than 100000 bytes" in answer["error"]["message"] and server.takes() == []


def test_a_notification_is_accepted_and_means_nothing(played, server):
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    waits = call(played)
    assert played.answer(note, Mcp_Method=None) == (202, None)
    assert server.takes() == [] and waits.answers == []


@pytest.mark.parametrize("path", ["/mcp/nosuch", "/mcp/a/b", "/mcp/a%2f", "/mcp/A"])
def test_an_unknown_name_in_the_path_is_a_404_that_says_which_there_are(played, path):
    for message in asks("tools/list", id=3), {"jsonrpc": "2.0", "method": "notifications/x"}:
        status, answer = played.answer(message, path)
        assert status == 404 and "There are: a" in answer["error"]["message"]
        assert answer["id"] == message.get("id")
    assert nothing_is_left(played)


# -- answers, and their status


def test_an_answer_that_comes_first_is_the_answer_to_the_post(played, server):
    waits = call(played)
    server.says(id=waits.id, result={"content": []})
    status, answer = played.answered(waits)
    assert status == 200 and answer["id"] == 1 and answer["result"]["resultType"] == "complete"
    assert waits.streams == [] and nothing_is_left(played)
    (reply,) = waits.answers
    assert dict(reply.headers) == {"Content-Type": "application/json"}  # and no Mcp-Session-Id


@pytest.mark.parametrize("code, status", [
    (-32601, 404), (-32020, 400), (-32021, 400), (-32022, 400), (-32602, 200), (-32603, 200),
    (-32600, 200), (-32700, 200), (-32000, 200), (0, 200), (404, 200), (1.5, 200),
])
def test_the_status_of_an_error_that_a_server_answers_with(played, server, code, status):
    waits = call(played)
    server.says(id=waits.id, error={"code": code, "message": "no", "data": {"x": 1}})
    assert played.answered(waits) == (status, {"jsonrpc": "2.0", "id": 1, "error": {
        "code": code, "message": "no", "data": {"x": 1}}})


@pytest.mark.parametrize("method", ["nosuch/method", "ping", "initialize", "logging/setLevel",
                                    "resources/subscribe", "resources/unsubscribe", "tasks/list",
                                    "tasks/result", "rpc.discover", ""])
def test_an_unknown_method_is_a_404_with_the_error_that_says_so(played, method):
    assert error_of(played.answer(asks(method))) == (404, -32601)
    assert nothing_is_left(played)


def test_the_error_of_a_server_that_has_no_such_method_is_a_404_too(played, server):
    connection = played.posts(asks("vendor/method"), "/mcp/a")
    server.says(id=server.take()["id"], error={"code": -32601, "message": "not here"})
    assert error_of(played.answered(connection)) == (404, -32601)


def test_more_requests_than_may_be_are_told_to_come_later(played):
    played.world.router.sessions._most = 2
    waiting = [call(played), call(played)]
    connection = played.posts(calls("a__t", id=5))
    status, answer = played.answered(connection)
    assert status == 503 and answer["id"] == 5
    assert ("Retry-After", "5") in connection.reply.headers
    assert len(posts_of(played)) == len(waiting)


def test_a_session_id_is_not_looked_at_nor_given_out(played):
    connection = played.posts(asks("tools/list"), Mcp_Session_Id="whatever", Last_Event_ID="0-3")
    assert played.answered(connection)[0] == 200
    assert "Mcp-Session-Id" not in dict(connection.answers[0].headers)


# -- streams


def test_what_comes_before_the_answer_makes_a_stream_of_the_post(played, server):
    waits = call(played, **TOKEN)
    server.says(method="notifications/progress", params={"progressToken": waits.id, "progress": 1})
    (note,) = heard(waits)
    assert note["params"] == {"progressToken": "p", "progress": 1}
    server.says(id=waits.id, error={"code": -32601, "message": "too late for a status"})
    answer, end = heard(waits)
    assert answer["error"]["code"] == -32601 and end is CLOSE
    assert waits.answers == [] and nothing_is_left(played)


@pytest.mark.parametrize("level, heard_of", [
    (None, []), ("debug", ["info", "warning"]), ("warning", ["warning"]), ("error", [])])
def test_log_lines_that_were_asked_for_make_a_stream_of_the_post(played, server, level, heard_of):
    waits = played.posts(calls("a__t", meta={LOG_LEVEL_KEY: level}))
    id = next(message["id"] for message in server.takes() if message["method"] == "tools/call")
    for said in "info", "warning":
        server.says(method="notifications/message", params={"level": said, "data": said})
    assert [note["params"]["data"] for note in (heard(waits) if waits.streams else ())] == heard_of
    server.says(id=id, result={})
    assert len(waits.answers) == (not heard_of)


def test_progress_that_nobody_asked_for_makes_no_stream(played, server):
    waits = call(played)
    server.says(method="notifications/progress", params={"progressToken": waits.id, "progress": 1})
    assert waits.streams == []


def silent(played):
    for post_ in posts_of(played):
        post_.since -= HEARTBEAT        # its own clock is the real one
    played.world.clock.advance(HEARTBEAT)


def test_silence_makes_a_stream_of_a_post(played, server):
    waits = call(played)
    played.world.clock.advance(HEARTBEAT)
    assert waits.streams == []
    silent(played)
    assert heard(waits) == []
    server.says(id=waits.id, result={})
    assert heard(waits)[1:] == [CLOSE] and waits.answers == []


def test_a_post_waits_on_in_silence_while_no_stream_may_be_opened(played, server):
    played.streams.most_streams = 0
    waits = call(played)
    silent(played)
    assert waits.streams == []
    server.says(id=waits.id, result={})
    assert len(waits.answers) == 1


def test_the_log_says_that_a_client_has_come_and_that_it_asks_no_more(played, server, caplog,
                                                                      monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: played.world.clock.now)
    caplog.set_level(logging.INFO, "router")
    for name in ("ada", "ada", "bob"):
        played.answer(asks("tools/list", meta={CLIENT_INFO_KEY: {"name": name, "version": "1"}}))
    came = [f"a client without a session has come: {name} 1 over stateless-http"
            for name in ("ada", "bob")]
    assert caplog.messages == came
    for _ in range(1300):
        played.world.clock.advance(HEARTBEAT / 3)
    assert caplog.messages[2:] == [
        f"it has asked nothing for ten minutes: {name} 1 over stateless-http"
        for name in ("ada", "bob")]


def test_what_is_said_after_the_answer_is_dropped(played, server):
    waits = call(played, **TOKEN)
    (one,) = posts_of(played)
    server.says(id=waits.id, result={})
    one.send({"jsonrpc": "2.0", "method": "notifications/progress"})
    one.send({"jsonrpc": "2.0", "id": 1, "result": {}})
    one.become_stream()
    assert len(waits.answers) == 1 and waits.streams == []


class Full(Streams):
    """No stream may be opened any more."""

    streams = most_streams = 10

    def _count(self, change):
        if change > 0:
            raise UsedUp("10 streams are open already.")


def test_a_call_for_which_there_is_no_stream_gets_its_answer_alone(played, server):
    played.way.workers = Full.__new__(Full)
    waits = call(played, **TOKEN)
    server.says(method="notifications/progress", params={"progressToken": waits.id, "progress": 1})
    assert not waits.streams and not waits.answers
    server.says(id=waits.id, result={})
    assert len(waits.answers) == 1 and nothing_is_left(played)


def test_if_the_last_stream_is_taken_just_then_the_client_is_told_to_come_later(played, server):
    played.way.workers = Full.__new__(Full)
    played.way.workers.most_streams = 11
    waits = call(played, **TOKEN)
    server.says(method="notifications/progress", params={"progressToken": waits.id, "progress": 1})
    (stream,) = waits.streams
    reply = stream.as_stream()
    assert reply.status.startswith("503") and ("Retry-After", "5") in reply.headers
    assert server.take()["method"] == "notifications/cancelled" and nothing_is_left(played)


def test_whatever_threads_come_at_the_same_time_a_post_is_answered_once(played, server):
    """The reader thread of the server, the clock, and the socket loop."""
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
    for turn in range(300):
        waits = call(played)
        (one,) = posts_of(played)
        steps = [lambda: server.says(id=waits.id, result={}), one.become_stream,
                 lambda: one.send(note), waits.breaks][:3 + turn % 2]
        together = threading.Barrier(len(steps))

        def run(step):
            together.wait()
            step()
        threads = [threading.Thread(target=run, args=(step,)) for step in steps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(waits.answers) + len(waits.streams) <= 1
        if turn % 2 == 0 and waits.streams:
            *_, answer, end = heard(waits)
            assert answer["id"] == 1 and end is CLOSE
        elif turn % 2 == 0:
            assert len(waits.answers) == 1
        server.takes()
    assert nothing_is_left(played)


# -- its client hangs up


def test_hanging_up_cancels_the_call_at_its_server(played, server):
    waits = call(played)
    waits.breaks()
    told = server.take()
    assert told["method"] == "notifications/cancelled"
    assert told["params"]["requestId"] == waits.id
    server.says(id=waits.id, result={})
    assert waits.answers == waits.streams == [] and nothing_is_left(played)


def test_hanging_up_on_the_stream_cancels_it_too(played, server):
    waits = call(played, **TOKEN)
    server.says(method="notifications/progress", params={"progressToken": waits.id, "progress": 1})
    waits.breaks()
    assert server.take()["method"] == "notifications/cancelled"
    assert heard(waits)[-1] is CLOSE and nothing_is_left(played)


def test_a_client_that_has_gone_before_its_request_is_begun_is_not_served(played, server):
    connection = Connection()
    connection.connected = False
    assert posted(played.way, parsed(post(calls("a__t"))), connection) is None
    assert [each["method"] for each in server.takes()] in (
        [], ["tools/call", "notifications/cancelled"])
    assert connection.answers == connection.streams == [] and nothing_is_left(played)


def test_hanging_up_while_a_call_waits_for_a_process_takes_it_from_the_queue():
    played = Played(World(limit=0, a=offers(tools=["t"])))
    first = played.posts(calls("a__t", meta=CAN_BE_ASKED))
    second = played.posts(calls("a__t", id=2, meta=CAN_BE_ASKED))
    (waiting,) = played.world.pool.tables.servers["a"].waiting.values()
    assert len(waiting) == 1
    second.breaks()
    assert not waiting
    first.breaks()
    played.world.clock.advance(60)
    assert nothing_is_left(played) and first.answers == second.answers == []
    assert [message["method"] for server in played.world.made for message in server.received] == [
        "tools/call", "notifications/cancelled"]


@pytest.mark.parametrize("meta", [{}, CAN_BE_ASKED])
@pytest.mark.parametrize("message", [calls("a__t"), asks("tools/list"), asks("server/discover"),
                                     asks("subscriptions/listen", notifications={})])
def test_hanging_up_while_a_server_starts_leaves_nothing(message, meta):
    played = Played(World(a=offers(tools=["t"], slow=True)))
    message = with_params(message, _meta={**META, **meta})
    waits = played.posts(message)
    assert waits.reply is None and waits.answers == []
    waits.breaks()
    assert nothing_is_left(played)
    for server in played.world.made:
        if server.handshake:
            server.answer_initialize()
    played.world.clock.advance(60)
    assert nothing_is_left(played) and waits.answers == waits.streams == []
    assert [each for server in played.world.made for each in server.received] == []


def test_the_end_of_the_server_answers_what_waits(played, server):
    waits = call(played)
    server.dies("exited with status 7: out of luck")
    status, answer = played.answered(waits)
    assert (status, answer["error"]["code"]) == (200, -32000)
    assert "status 7" in answer["error"]["message"] and nothing_is_left(played)


def test_our_end_answers_what_waits(played):
    waiting = [call(played), call(played)]
    listens = played.posts(asks("subscriptions/listen", notifications={}))
    played.world.clock.advance(10)
    for session in played.world.router.sessions.all():
        played.world.router.leave(session)
    assert [played.answered(each)[1]["error"]["message"] for each in waiting] == [
        "the session has ended"] * 2
    *_, last, end = heard(listens)
    assert last["id"] == 1 and "result" in last and end is CLOSE and nothing_is_left(played)


def test_the_log_has_no_line_for_each_request(played, server, caplog):
    caplog.set_level(logging.INFO, "router")
    for _ in range(3):
        connection = call(played)
        server.says(id=connection.id, result={"content": []})
        assert played.answered(connection)[0] == 200
    assert len(caplog.messages) == 1    # its client has come


def test_the_session_of_a_request_is_no_session_of_the_router(played):
    waits = call(played)
    (session,) = played.world.router.sessions.all()
    assert isinstance(session, Session) and session.transport == "stateless-http"
    assert session.meta == META
    waits.breaks()
