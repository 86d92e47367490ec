"""What must not happen with a remote server, whatever it answers: a call that hangs, memory or
time without a bound, a secret that is told."""

import http.client
import json
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import types

import pytest
from scripted import (EVENTS, JSON, ask, closes_after, default, hangs, initialize, modern,
                      old_server, problem, says, sees)

from transports.fabric.messages import LATEST, notification, request
from transports.fabric.text import hidden
from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.connections.remote.config_headers import ConfigHeaders
from upstreams.connections.remote.connection import HttpFailed, Origin
from upstreams.connections.remote.event_stream import EventStream
from upstreams.connections.remote.message_headers import (LONGEST_NAMES, MessageHeaders,
                                                          parameters_of)
from upstreams.connections.remote.problem import without_markup
from upstreams.connections.remote.remote import Remote
from upstreams.connections.remote.wire import Wire

# -- whatever comes back, the call ends

UNUSABLE = [
    '{"jsonrpc": "2.0", "id": 5, "result": NaN}',
    '{"jsonrpc": "2.0", "id": 5, "result": 1e999}',
    '{"result": ' + "[" * 300 + "]" * 300 + ', "jsonrpc": "2.0", "id": 5}',
    '{"jsonrpc": "2.0", "id": 5, "result": "' + "x" * 5000 + '"}',
    '{"jsonrpc": "1.0", "id": 5, "result": {}}',
    '{"jsonrpc": "2.0", "id": 5, "what": 1}']


@pytest.mark.parametrize("text", UNUSABLE)
def test_an_answer_on_the_stream_of_http_with_sse_that_cannot_be_used_fails_its_call(
        serve, connect, text):
    stream, script = old_server()

    def opens(handler):
        handler.begins_events()
        handler.wfile.write(b"event: endpoint\ndata: /messages?s=1\n\n")
        while message := stream.get():
            handler.wfile.write(f"data: {text}\n\n".encode() if message["id"] == 5 else
                                f"data: {json.dumps(message)}\n\n".encode())
    remote = connect(serve({**script, "GET": opens}).url, type="sse", longest=4000)
    initialize(remote)
    answer = ask(remote, "tools/call", 5)
    assert answer["id"] == 5 and "sent an answer that cannot be passed on" in problem(answer)
    assert ask(remote, "tools/list", 6)["result"]
    stream.put(None)


def test_a_batch_of_many_wrong_members_is_not_read_again_for_each_of_them(serve, connect):
    wrong = "[" + ",".join(['{"id":5}'] * 20_000) + "]"
    remote = connect(serve({"tools/call": lambda handler: handler.sends(200, JSON, wrong)}).url)
    initialize(remote)
    answer = ask(remote, "tools/call", 5)       # waits five seconds; it took minutes
    assert "sent an answer that cannot be passed on" in problem(answer)


@pytest.mark.parametrize("location", ["http://" + "\u00fc." * 9000, "/" * 9000])
def test_a_url_that_the_server_names_has_a_longest_length(location):
    with pytest.raises(HttpFailed, match="named a URL of more than 8192 characters"):
        Origin("http://127.0.0.1/mcp").target_of(location, "/mcp")


ODD = [     # an answer → what the caller gets in its place
    ('{"jsonrpc": "2.0", "id": "5", "result": {"a": 1}}', {"result": {"a": 1}}),
    ('{"jsonrpc": "2.0", "id": 5.0, "result": {}}', {"result": {}}),
    ('{"jsonrpc": "2.0", "id": 5, "result": {}, "error": null}', {"result": {}}),
    ('{"jsonrpc": "2.0", "id": null, "error": {"code": -1, "message": "gone"}}',
     {"error": {"code": -1, "message": "gone"}}),
    ('{"jsonrpc": "2.0", "id": 5, "result": null, "error": {"code": 1, "message": "x"}}',
     {"error": {"code": 1, "message": "x"}}),
    ('{"jsonrpc": "2.0", "id": 5, "error": "boo"}', {"error": {
        "code": -32603, "message": 'an answer without a result or an error, but with "boo"'}}),
    ('{"jsonrpc": "2.0", "id": 5, "result": "hello"}', {"error": {
        "code": -32603, "message": 'an answer without a result or an error, but with "hello"'}})]


@pytest.mark.parametrize("text, meant", ODD)
@pytest.mark.parametrize("way", ["http", "sse", "standalone stream"])
def test_an_answer_that_is_a_little_wrong_is_understood(serve, connect, way, text, meant):
    stream, old = old_server()

    def streams(handler):
        handler.begins_events()
        if way == "sse":
            handler.wfile.write(b"event: endpoint\ndata: /messages?s=1\n\n")
            handler.event(stream.get())
        sees(handler.server, "tools/call")
        handler.wfile.write(f"data: {text}\n\n".encode())
        handler.server.release.wait(60)
    script = {"http": {"tools/call": lambda handler: handler.sends(200, JSON, text)},
              "sse": {**old, "GET": streams},
              "standalone stream": {"GET": streams, "tools/call": hangs}}
    remote = connect(serve(script[way]).url, type="sse" if way == "sse" else "http")
    initialize(remote)
    assert ask(remote, "tools/call", 5) == {"jsonrpc": "2.0", "id": 5, **meant}


@pytest.mark.parametrize("text", [
    '{"jsonrpc": "2.0", "id": null, "method": "notifications/message", "params": {}}',
    '{"jsonrpc": "2.0", "id": 5, "method": 7}'])
def test_what_is_no_message_but_has_a_method_does_not_fail_the_call_on_whose_stream_it_comes(
        serve, connect, text):
    def streams(handler):
        handler.begins_events()
        handler.wfile.write(f"data: {text}\n\n".encode())
        handler.event(handler.result({"a": 1}))
    remote = connect(serve({"tools/call": streams}).url)
    initialize(remote)
    assert ask(remote, "tools/call", 5)["result"] == {"a": 1}


def test_a_request_that_was_answered_on_another_stream_gives_its_own_up(serve, connect):
    """Else each of them would keep a thread, until there are none for further requests."""
    def streams(handler):
        handler.begins_events()
        sees(handler.server, "waits")
        handler.event({"jsonrpc": "2.0", "id": 5, "result": {"a": 1}})
        handler.server.release.wait(60)
    server = serve({"GET": streams, "tools/call": closes_after})
    remote = connect(server.url)
    initialize(remote)
    assert ask(remote, "tools/call", 5)["result"] == {"a": 1}
    sees(server, "closed")


def test_an_answer_on_the_standalone_stream_that_cannot_be_used_fails_its_call(serve, connect):
    def stream(handler):
        handler.begins_events()
        sees(handler.server, "tools/call")
        handler.wfile.write(f"data: {UNUSABLE[0]}\n\n".encode())
        handler.server.release.wait(60)
    remote = connect(serve({"GET": stream, "tools/call": hangs}).url)
    initialize(remote)
    assert "cannot be passed on" in problem(ask(remote, "tools/call", 5))


@pytest.mark.parametrize("body", [
    '{"jsonrpc": "1.0", "id": 5, "error": {"code": 1, "message": "old"}}',
    '{"jsonrpc": "2.0", "id": 5, "method": "x", "error": {"code": 1, "message": "two"}}',
    '{"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": "n", "data": NaN}}',
    '{"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": "d", "data": '
    + "[" * 980 + "]" * 980 + "}}"])
def test_an_error_in_the_body_of_an_http_error_that_cannot_be_used_is_told_in_words(
        serve, connect, body):
    remote = connect(serve({"tools/call": lambda handler: handler.sends(400, JSON, body)}).url)
    answer = ask(remote, "tools/call", 5)
    assert answer["id"] == 5 and "answered HTTP 400 Bad Request: {" in problem(answer)


@pytest.mark.parametrize("headers, told", [
    ({"Content_Length": "9" * 5000}, "a Content-Length that is no number"),
    ({"Content_Length": "+5"}, "a Content-Length that is no number"),
    ({"Transfer_Encoding": "gzip"}, "a Transfer-Encoding that is not chunked"),
    ({"Retry_After": "Mon, 01 Jan 99999999999 00:00:00 GMT"}, "answered HTTP 503"),
    ({"Retry_After": "9" * 5000}, "try again in 3600 seconds")])
def test_headers_that_make_no_sense_fail_their_call_in_words(serve, connect, headers, told):
    server = serve({"tools/call": lambda handler: handler.sends(503, JSON, "{}", **headers)})
    remote = connect(server.url)
    initialize(remote)
    assert told in problem(ask(remote, "tools/call", 5))
    assert ask(remote, "ping", 6)["result"]


@pytest.mark.parametrize("lines, told", [
    (b"HTTP/1.1 200 OK\r\nthis is none\r\nContent-Length: 9\r\n\r\n", "a header that is none"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n", "is no number"),
    (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", "no HTTP: got more than 100 headers"),
    (b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 70_000, "no HTTP: got more than 65536 bytes"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "answered HTTP 101"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"z\r\n", "closed the connection in the middle")])
def test_an_answer_that_is_no_sound_http_fails_its_call(serve, connect, lines, told):
    def answers(handler):
        handler.wfile.write(lines)
        handler.server.release.wait(60)
    remote = connect(serve({"tools/call": answers}).url)
    assert told in problem(ask(remote, "tools/call", 5))


def test_what_only_announces_an_answer_is_skipped(serve, connect):
    def answers(handler):
        for status in (100, 102, 103):
            handler.wfile.write(b"HTTP/1.1 %d Wait\r\nLink: a\r\n\r\n" % status)
        handler.answers({"at": "last"})
    remote = connect(serve({"tools/call": answers}).url)
    for id in range(3):
        assert ask(remote, "tools/call", id)["result"] == {"at": "last"}


def missing(words, code=-32001, id=None):
    return json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": words}})


FORGOTTEN = "closed", "the server has forgotten our session", 0
GONE = [
    (404, "no such"), (410, "gone"), (400, "Session not found"),
    (400, '{"error": "unknown session id"}'),
    *((400, missing("Bad Request: Missing session ID", code, "server-error"))
      for code in (-32000, -32001, -32600)),
    (401, "Unauthorized: Session not found"), (422, missing("No valid session ID provided")),
    (500, missing("session does not exist: 5f2b3c4d-aa", -32000, 5)),
    (200, missing("Session not found")), (200, missing("Invalid session ID", -32600, 5))]


@pytest.mark.parametrize("status, body", GONE)
def test_a_session_that_is_gone_is_found_out_by_status_or_words(serve, connect, status, body):
    def gone(handler):
        handler.sends(status, JSON, body.replace('"id": 5', f'"id": "{handler.message["id"]}"'))
    remote = connect(serve({"tools/call": gone, "ping": gone}).url)
    initialize(remote)
    answer = ask(remote, "tools/call", 5)
    if status in (404, 410):
        assert answer == FORGOTTEN
    else:   # it may be about a session of the tool's own: a ping of ours finds that out
        assert answer["id"] == 5 and "session" in problem(answer).lower()
        assert says(remote) == FORGOTTEN


@pytest.mark.parametrize("status, body", [
    (200, missing("Session not found: build-4711", -32000, 5)),
    (200, missing("Session not found", -32600, 5)),
    (400, missing("argument 'session_name' is required", -32600, 5)),
    (404, missing("no such session of the browser", -32602, 5)), (422, "Session not found")])
@pytest.mark.parametrize("kind", ["http", "sse"])
def test_a_tool_may_say_that_a_session_of_its_own_is_missing(serve, connect, status, body, kind):
    stream, old = old_server()

    def call(handler):
        if kind == "http" or status != 200:
            handler.sends(status, JSON, body)
        else:
            handler.sends(202, JSON, "")
            stream.put(json.loads(body))

    def post(handler):
        (call if handler.message.get("method") == "tools/call" else old["*"])(handler)
    server = serve({"tools/call": call} if kind == "http" else {**old, "*": post})
    remote = connect(server.url, type=kind)
    initialize(remote)
    assert "ession" in problem(ask(remote, "tools/call", 5))
    assert sees(server, "ping")
    assert "ession" in problem(ask(remote, "tools/call", 5))
    assert ask(remote, "tools/list", 7)["result"]
    stream.put(None)


def test_a_508_that_is_not_of_a_router_concerns_its_call_alone(serve, connect):
    remote = connect(serve({"tools/call": lambda handler: handler.sends(
        508, "text/html", "<title>508 Resource Limit Is Reached</title>", Retry_After="1")}).url)
    initialize(remote)
    assert "answered HTTP 508 Loop Detected: 508 Resource Limit" in problem(
        ask(remote, "tools/call", 5))
    assert ask(remote, "ping", 6)["result"]


@pytest.mark.parametrize("status, body", [
    (404, "Cannot GET /mcp"), (404, '{"message":"Not Found"}'), (405, ""), (410, "gone"),
    (400, "Bad Request: session required"), (404, missing("Session not found"))])
def test_a_server_without_a_stream_of_its_own_has_not_forgotten_the_session(
        serve, connect, status, body):
    server = serve({"GET": lambda handler: handler.sends(status, "text/plain", body)})
    remote = connect(server.url)
    initialize(remote)
    sees(server, "GET")
    if status != 405:
        sees(server, "ping")
    for id in range(3):
        assert ask(remote, "tools/call", id)["result"]
    assert remote.said.empty()


def event_of(handler):
    """The error as an event of the stream that the request is answered with."""
    handler.begins_events()
    handler.event(json.loads(missing("Session not found", id=5)))


def breaks(handler):
    handler.begins_events()
    handler.wfile.write(b"id: 5\nretry: 10\ndata:\n\n")


@pytest.mark.parametrize("status, body", [(404, "no such"), (410, "gone"), (400, "no session"),
                                          (400, missing("No valid session ID provided"))])
@pytest.mark.parametrize("script", [
    {"tools/call": hangs, "notifications/x": None}, {"tools/call": hangs, "GET": None},
    {"tools/call": breaks, "GET": None}, {"tools/call": event_of}],
    ids=["a notification", "the standalone stream", "a stream that is resumed", "an event"])
def test_a_session_that_is_gone_is_found_out_whatever_is_sent(
        serve, connect, script, status, body):
    def gone(handler):
        if handler.message["method"] == "GET" and "Last-Event-ID" not in handler.headers:
            if script["tools/call"] is breaks:
                default(handler)
                return
            sees(handler.server, "tools/call")
        handler.sends(status, JSON, body)
    remote = connect(serve({"ping": gone, **{method: act or gone
                                             for method, act in script.items()}}).url)
    initialize(remote)
    remote.send({**request("tools/call"), "id": 5})
    if "notifications/x" in script:
        remote.send(notification("notifications/x"))
    while (said := says(remote)) != FORGOTTEN:
        assert said["id"] == 5 and problem(said)


@pytest.mark.parametrize("status, body", [*GONE[:4], (200, None)])
def test_a_session_of_http_with_sse_that_is_gone_is_found_out_too(serve, connect, status, body):
    stream, script = old_server()
    answers = script["*"]

    def post(handler):
        if handler.message["method"] not in ("tools/call", "ping"):
            answers(handler)
        elif body:
            handler.sends(status, JSON, body)
        else:
            handler.sends(202, JSON, "")
            stream.put(json.loads(missing("Session not found", id=handler.message["id"])))
    remote = connect(serve({**script, "*": post}).url, type="sse")
    initialize(remote)
    said = ask(remote, "tools/call", 5)
    assert FORGOTTEN in (said, status in (404, 410) or says(remote))
    stream.put(None)


@pytest.mark.parametrize("status, body", [
    (400, "you have no patience"), (500, missing("Browser session not found: open a page first")),
    (200, missing("No session of the debugger", -32000, 5)), (403, "which session?"),
    (400, '{"jsonrpc":"2.0","id":5,"error":{"code":-32602,"message":"which browser session?"}}')])
def test_a_400_about_something_else_is_no_forgotten_session(serve, connect, status, body):
    remote = connect(serve({"tools/call": lambda handler: handler.sends(status, JSON, body)}).url)
    initialize(remote)
    assert problem(ask(remote, "tools/call", 5))
    assert ask(remote, "ping", 6)["result"]


def test_an_endless_body_after_initialized_holds_up_no_call(serve, connect):
    remote = connect(serve({"notifications/initialized": hangs}).url)
    initialize(remote)
    assert ask(remote, "tools/call", 5)["result"]


def test_the_body_of_an_error_that_never_ends_holds_up_no_call(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.problem.BODY_SECONDS", 0.3)

    def drips(handler):
        handler.send_response(500)
        handler.end_headers()
        handler.close_connection = True
        while not handler.server.release.wait(0.05):
            handler.wfile.write(b"x")
    remote = connect(serve({"tools/call": drips}).url)
    assert "answered HTTP 500 Internal Server Error: x" in problem(ask(remote, "tools/call"))


def test_a_silent_call_whose_stream_is_cut_again_and_again_goes_on(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.message_post.LASTS", 0.05)
    cuts = iter(range(9))

    def begins(handler):
        handler.begins_events()
        handler.wfile.write(b"id: 5\nretry: 10\ndata:\n\n")

    def resumes(handler):
        handler.begins_events()
        if next(cuts, None) is not None:
            handler.server.release.wait(0.1)
        else:
            handler.event({"jsonrpc": "2.0", "id": 1, "result": {"late": True}}, "id: 6\n")
    remote = connect(serve({"tools/call": begins, "GET": resumes}).url)
    assert ask(remote, "tools/call")["result"] == {"late": True}


def test_a_call_whose_stream_breaks_at_once_again_and_again_fails(serve, connect):
    def breaks(handler):
        handler.begins_events()
        handler.wfile.write(b"id: 5\nretry: 0\ndata:\n\n")
    server = serve({"tools/call": breaks, "GET": breaks})
    assert "ended the stream" in problem(ask(connect(server.url), "tools/call"))


@pytest.mark.parametrize("status, headers", [
    (400, {}), (409, {}), (500, {}), (200, {"Content_Length": "9" * 5000}),
    (503, {"Retry_After": "Mon, 01 Jan 99999999999 00:00:00 GMT"})])
def test_a_stream_that_is_refused_for_a_moment_is_opened_later(
        serve, connect, monkeypatch, status, headers):
    monkeypatch.setattr("upstreams.connections.remote.server_stream.PAUSE", 0.01)
    statuses = iter([status])

    def stream(handler):
        if refused := next(statuses, None):
            handler.sends(refused, EVENTS, "not now", **headers)
        else:
            handler.begins_events()
            handler.event({"jsonrpc": "2.0", "method": "news"})
    remote = connect(serve({"GET": stream}).url)
    initialize(remote)
    assert says(remote)["method"] == "news"


@pytest.mark.parametrize("more", ["", "id: 7\nevent: ping\ndata: x"])
def test_a_stream_without_news_is_not_opened_again_and_again(serve, connect, more):
    def stream(handler):
        handler.begins_events()
        handler.wfile.write(f"retry: 0\n{more}\n\n".encode())
    server = serve({"GET": stream})
    initialize(connect(server.url))
    sees(server, "GET")
    assert not server.release.wait(0.6)
    assert server.seen.empty()


@pytest.mark.parametrize("kind, body, told", [
    (JSON, '{"hello": "there"}', '(HTTP 200): not a JSON-RPC object with "jsonrpc": "2.0": '
                                 '{"hello": "there"}'),
    (JSON, "", "(HTTP 200): not JSON"), (JSON, "[]", "answered HTTP 200 with something else"),
    (JSON, '{"jsonrpc": "2.0", "id": "x", "result": {}}', 'the answer: {"jsonrpc": "2.0", "id"'),
    ("text/html", "<p>Hello", "answered HTTP 200 OK: Hello"), ("", "", "answered HTTP 200 OK")])
def test_what_is_no_answer_is_told_with_its_status_and_first_words(
        serve, connect, kind, body, told):
    remote = connect(serve({"tools/call": lambda handler: handler.sends(200, kind, body)}).url)
    remote.send({**request("tools/call"), "id": 5})
    found = says(remote)
    while "error" not in found:     # what may be for the Upstream to look at
        found = says(remote)
    assert told in problem(found)


def test_an_endpoint_that_is_not_there_is_told_with_its_address(serve, connect):
    stream, script = old_server()
    server = serve({**script, "*": lambda handler: handler.sends(404, "text/plain", "no such")})
    told = problem(ask(connect(server.url, type="sse"), "initialize"))
    assert f"names {server.url[:-4]}/messages?s=1 as its endpoint" in told and "404" in told
    stream.put(None)


def test_what_is_sent_before_the_start_is_dropped(serve, connect):
    clock = Clock()
    Remote(Entry("far", url=serve().url), "far", clock).send(notification("notifications/x"))


@pytest.fixture
def broken(monkeypatch):
    """The names of threads in which the next request fails."""
    broken, really = set(), http.client.HTTPConnection.putrequest

    def putrequest(*arguments, **more):
        if threading.current_thread().name in broken:
            raise MemoryError("nothing left")
        really(*arguments, **more)
    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", putrequest)
    return broken


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("role, kind", [("notes", None), ("stream", None), ("stream", "sse")])
def test_an_error_that_ends_one_of_its_threads_ends_the_connection(
        serve, connect, broken, role, kind):
    broken.add(f"far-{role}")
    remote = connect(serve({"tools/call": hangs}).url, type=kind)
    if kind is None:
        initialize(remote)
        remote.send({**request("tools/call"), "id": 5})
    assert says(remote) == ("closed", "was cut off by a bug in the router", None)


def test_an_error_over_one_request_fails_that_one_only(serve, connect, broken, caplog):
    remote = connect(serve().url)
    initialize(remote)
    broken |= {f"far-post-{number}" for number in range(9)}
    assert 'server "far" could not be asked: a bug' in problem(ask(remote, "ping", 5))
    broken.clear()
    assert ask(remote, "ping", 6)["result"]
    assert "MemoryError: nothing left" in caplog.text


# -- nothing without a bound


def test_what_waits_for_a_server_is_bounded_in_bytes(serve, connect):
    server = serve({"tools/call": lambda handler: handler.server.release.wait(60)})
    remote = connect(server.url)
    for id in range(40):
        remote.send({**request("tools/call", {"text": "x" * 2_000_000}), "id": id})
    refused = [says(remote) for _ in range(40 - 33)]
    assert all("too many requests wait" in problem(each) for each in refused)
    assert ask(remote, "ping", 99)["id"] == 99


def test_a_hundred_and_thirty_slow_calls_hold_up_nobody(serve, connect):
    server = serve({"tools/call": lambda handler: handler.server.release.wait(60)})
    remote = connect(server.url)
    for id in range(130):
        remote.send({**request("tools/call"), "id": id})
    assert ask(remote, "tools/list", 999)["result"]


def test_the_request_that_is_one_too_many_fails_at_once(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.remote.MOST_REQUESTS", 2)
    server = serve({"tools/call": lambda handler: handler.server.release.wait(60)})
    remote = connect(server.url)
    for id in range(2):
        remote.send({**request("tools/call"), "id": id})
    assert "too many requests wait for its answers" in problem(ask(remote, "ping", 3))


def test_as_many_calls_as_may_be_leave_room_for_the_lists_of_others(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.remote.MOST_CALLS", 20)
    remote = connect(serve({"tools/call": lambda handler: handler.server.release.wait(60)}).url)
    for id in range(20):
        remote.send({**request("tools/call"), "id": id})
    assert "too many requests wait for its answers" in problem(ask(remote, "tools/call", 20))
    assert ask(remote, "tools/list", 21)["result"]


def test_an_event_of_many_short_lines_takes_little_memory():
    tracemalloc.start()
    lines = b"data: x\n" * 8000
    found = list(EventStream(2**26).events([lines] * 100 + [b"\n"]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found[0][1]) == 2 * 800_000 - 1 and peak < 8 * 2**20


def test_the_text_of_a_page_and_the_headers_of_a_tool_take_linear_time():
    began = time.process_time()
    for text in ("<" * 10**6, "<script" * 10**5, "<style></script" * 10**5, "<a" * 10**6):
        without_markup(text)
    parameters_of({"inputSchema": {"properties": {
        f"p{n}": {"type": "string", "x-mcp-header": f"P{n}"} for n in range(20_000)}}})
    assert time.process_time() - began < 3


def test_chunks_of_one_byte_are_no_slower_than_their_number():
    data = b"data: " + b"x" * 300_000 + b"\n\n"
    began = time.process_time()
    (found,) = EventStream(2**26).events(data[n:n + 1] for n in range(len(data)))
    assert found == (b"message", b"x" * 300_000, True) and time.process_time() - began < 3


def test_where_the_program_has_too_many_threads_a_request_fails_at_once(
        serve, connect, monkeypatch):
    server = serve({"tools/call": lambda handler: handler.server.release.wait(60)})
    remote = connect(server.url)
    remote.send({**request("tools/call"), "id": 1})
    sees(server, "tools/call")
    monkeypatch.setattr("upstreams.connections.remote.senders.MOST_THREADS",
                        threading.active_count())
    assert "too many requests wait for its answers" in problem(ask(remote, "tools/call", 2))


# -- secrets, and who we are


def test_a_proxy_that_says_more_than_that_the_way_is_open_is_refused(connect, monkeypatch):
    forged = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listening.getsockname()[1]}")
        remote = connect("https://far.example/mcp")
        remote.send({**request("ping"), "id": 1})
        proxy, _ = listening.accept()
        with proxy:
            assert b"CONNECT far.example:443" in proxy.recv(2**16)
            proxy.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + forged)
            assert "the proxy says more than that the way is open" in says(remote)[1]


def test_a_key_that_needs_a_passphrase_is_refused_and_nobody_is_asked(tmp_path, connect):
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-subj",
         "/CN=me", "-keyout", tmp_path / "key", "-out", tmp_path / "crt"], capture_output=True)
    assert done.returncode == 0
    remote = connect("https://127.0.0.1:9/mcp", certificate=str(tmp_path / "crt"),
                     key=str(tmp_path / "key"))
    assert "the key is encrypted, and nobody can be asked" in ask(remote, "ping")[1]


def test_a_file_for_tls_that_is_missing_is_named(tmp_path, connect):
    file = tmp_path / "ca.pem"
    assert f"({file}): No such file or directory" in ask(
        connect("https://127.0.0.1:9/mcp", ca=str(file)), "ping")[1]


def test_what_the_command_for_headers_prints_is_shown_nowhere(caplog):
    caplog.set_level(logging.INFO)
    program = ('import sys; print("using hunter2hunter2", file=sys.stderr); '
               'print(\'{"Authorization": "Bearer hunter2hunter2"}\')')
    headers = ConfigHeaders(Entry("far", url="http://x", headers_command=(
        sys.executable, "-c", program)))
    assert ("Authorization", "Bearer hunter2hunter2") in headers.pairs()
    assert "using ***" in caplog.text and "hunter2" not in caplog.text
    assert headers.redact("no hunter2hunter2 here") == "no *** here"
    assert "hunter2hunter2" in hidden.texts


def test_the_command_for_headers_is_looked_for_as_a_server_is(monkeypatch, tmp_path):
    """So that Windows finds an npx.cmd, too."""
    program = tmp_path / "get.cmd"
    program.write_text("#!/bin/sh\necho '{\"X-A\": \"found\"}'\n")
    program.chmod(0o700)
    monkeypatch.setattr(shutil, "which", lambda name, path: str(program) if (
        name, path) == ("get", "/here") else None)
    headers = ConfigHeaders(Entry("far", url="http://x", headers_command=("get",),
                                  env=(("PATH", "/here"),)))
    assert ("X-A", "found") in headers.pairs()


def test_of_two_values_of_a_header_that_of_the_command_counts():
    headers = ConfigHeaders(Entry(
        "far", url="http://x", headers=(("authorization", "old"), ("X-A", "a")),
        headers_command=("echo", '{"Authorization": "new"}')))
    assert headers.pairs() == [("User-Agent", "mcp-local-router"), ("Authorization", "new"),
                               ("X-A", "a")]


def test_a_server_that_has_let_us_in_before_may_refuse_us_for_a_while(serve, connect):
    refuses = threading.Event()

    def discovers(handler):
        handler.sends(401, "text/plain", "no") if refuses.is_set() else default(handler)
    server = serve({"initialize": discovers})
    initialize(connect(server.url))
    refuses.set()
    _, reason, pause = ask(connect(server.url), "initialize", **{"protocolVersion": LATEST})
    assert "needs authorization" in reason and pause is None


def test_a_request_that_is_given_up_late_leaves_the_next_one_alone(serve):
    clock = Clock()
    clock.start()
    url = serve({"POST": default}).url
    wire = Wire(Origin(url), ConfigHeaders(Entry("far", url=url)), clock)
    wire.begin("first")
    with pytest.raises(HttpFailed, match="HTTP 405"):
        wire.ask("GET", "/", [])
    wire.end()
    wire.begin("second")
    wire.abort("first")
    with pytest.raises(HttpFailed, match="HTTP 405"):
        wire.ask("GET", "/", [])
    wire.abort("second")
    wire.end()
    wire.close()
    clock.close()


def test_a_cancelled_call_that_is_still_connecting_does_not_end_the_connection(connect):
    with socket.create_server(("127.0.0.1", 0)) as listening:   # TLS never begins there
        remote = connect(f"https://127.0.0.1:{listening.getsockname()[1]}/mcp")
        remote.send({**request("tools/call", modern(name="a")), "id": 7})
        client, _ = listening.accept()
        remote.send(notification("notifications/cancelled", {"requestId": 7}))
        client.recv(2**16)
        assert client.recv(1) == b"" and remote.said.empty()
        client.close()


def test_the_parameters_of_tools_that_are_gone_are_forgotten(serve, connect):
    numbers = iter(range(9))

    def lists(handler):
        handler.answers({"tools": [{"name": f"tool{next(numbers)}", "inputSchema": {
            "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}}]})
    server = serve({"tools/list": lists})
    remote = connect(server.url)
    for cursor, known in (({}, {0}), ({"cursor": "2"}, {0, 1}), ({}, {2})):
        ask(remote, "tools/list", **modern(**cursor))
        for number in range(3):
            ask(remote, "tools/call", **modern(name=f"tool{number}", arguments={"a": "x"}))
            assert ("Mcp-Param-A" in sees(server, "tools/call")[0]) == (number in known)


def test_a_tool_of_a_later_page_keeps_its_parameters_while_the_list_is_asked_for_again(
        serve, connect):
    def lists(handler):
        tool = {"name": f"tool{handler.message['params'].get('cursor', 1)}", "inputSchema": {
            "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}}
        more = {} if "cursor" in handler.message["params"] else {"nextCursor": "2"}
        handler.answers({"tools": [tool], **more})
    server = serve({"tools/list": lists})
    remote = connect(server.url)
    for cursor in ({}, {"cursor": "2"}, {}):
        ask(remote, "tools/list", **modern(**cursor))
    for name in ("tool1", "tool2"):
        ask(remote, "tools/call", **modern(name=name, arguments={"a": "x"}))
        assert sees(server, "tools/call")[0]["Mcp-Param-A"] == "x"


def test_what_is_kept_of_the_parameters_of_tools_is_bounded():
    def page(first, length):
        return {"id": 1, "result": {"nextCursor": "more", "tools": [
            {"name": f"{number}", "inputSchema": {"properties": {
                "a": {"type": "string", "x-mcp-header": "A" * length}}}}
            for number in range(first, first + 100)]}}

    def call(name):
        return headers.modern({"method": "tools/call", "params": {
            **modern(name=name, arguments={"a": "x"})}})
    headers = MessageHeaders("far")
    for number in range(20):
        post = types.SimpleNamespace(method="tools/list", is_modern=True, begins=not number)
        headers.learn(post, page(100 * number, 10), {})
    assert len(call("999")) < len(call("1000")) == len(call("1999"))
    assert headers.learn(post, page(0, LONGEST_NAMES), {})["result"]["tools"] == []
