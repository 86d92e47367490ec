"""upstreams/connections/remote.py: a scripted HTTP server over real sockets, good and bad."""

import json
import logging
import math
import sys
import threading
import time
import urllib.request

import pytest
from scripted import (EVENTS, JSON, ask, closes_after, hangs, initialize, modern, old_server,
                      problem, says, sees)

from transports.fabric.messages import LATEST, MODERN_REVISION, notification, request
from transports.fabric.peers import StartFailed
from transports.program.clock import Clock
from upstreams.config.entries import Entry
from upstreams.connections.remote import check_request
from upstreams.connections.remote.event_stream import EventStream
from upstreams.connections.remote.remote import Remote
from upstreams.eras import open_life
from upstreams.routing.router import SERVER_INFO, Router
from upstreams.sharing.pool import Pool

from listing import listing
from processes import ROOT, fake, wait_until

# -- what a request carries


def test_a_legacy_session_is_opened_used_and_deleted(serve, connect):
    server = serve()
    remote = connect(server.url)
    assert problem(ask(remote, "server/discover", **modern())) == \
        'server "far" answered HTTP 400 Bad Request: what is that?'
    initialize(remote)
    assert ask(remote, "tools/list")["result"] == {"of": "tools/list"}
    assert "Mcp-Session-Id" not in sees(server, "initialize")[0]
    for method in ("notifications/initialized", "tools/list"):
        headers, _ = sees(server, method)
        assert headers["Mcp-Session-Id"] == "s1" and headers["MCP-Protocol-Version"] == LATEST
        assert headers["Accept"] == f"{JSON}, {EVENTS}"
    remote.close()
    assert sees(server, "DELETE")[0]["Mcp-Session-Id"] == "s1"
    assert says(remote) == ("closed", "was closed", None)


def test_requests_wait_until_the_server_has_accepted_initialized(serve, connect):
    def accepts_slowly(handler):
        assert handler.server.release.wait(30)
        handler.sends(202, JSON, "")
    server = serve({"notifications/initialized": accepts_slowly})
    remote = connect(server.url)
    initialize(remote)
    sees(server, "notifications/initialized")
    remote.send({**request("tools/list"), "id": 1})
    assert server.seen.empty() and remote.said.empty()
    server.release.set()
    assert says(remote)["id"] == 1


def test_a_modern_request_says_in_its_headers_what_it_is(serve, connect):
    server = serve()
    remote = connect(server.url)
    for method, params, name in (("tools/call", {"name": "Zoë", "arguments": {}},
                                  "=?base64?Wm/Dqw==?="),
                                 ("resources/read", {"uri": "a://b"}, "a://b"),
                                 ("tasks/get", {"taskId": "1"}, "1"),
                                 ("tasks/update", {"taskId": "1"}, "1"),
                                 ("tasks/cancel", {"taskId": "1"}, "1"),
                                 ("tools/list", {}, None)):
        ask(remote, method, **modern(**params))
        headers, _ = sees(server, method)
        assert headers["MCP-Protocol-Version"] == MODERN_REVISION
        assert headers["Mcp-Method"] == method and headers.get("Mcp-Name") == name


def test_parameters_become_headers_and_tools_with_wrong_annotations_are_left_out(
        serve, connect, caplog):
    def schema(**properties):
        return {"type": "object", "properties": properties}
    good = {"name": "good", "inputSchema": schema(
        region={"type": "string", "x-mcp-header": "Region"},
        inner=schema(deep={"type": "integer", "x-mcp-header": "Deep"}),
        flag={"type": "boolean", "x-mcp-header": "Flag"},
        absent={"type": "string", "x-mcp-header": "Absent"},
        none={"type": "integer", "x-mcp-header": "None"})}
    bad = [{"name": "bad", "inputSchema": each} for each in (
        schema(a={"type": "string", "x-mcp-header": "two words"}),
        schema(a={"type": "string", "x-mcp-header": ""}),
        schema(a={"type": "number", "x-mcp-header": "A"}),
        schema(a={"type": "string", "x-mcp-header": "A"},
               b={"type": "string", "x-mcp-header": "a"}),
        schema(a={"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}),
        {"anyOf": [schema(a={"type": "string", "x-mcp-header": "A"})]})]
    server = serve({"tools/list": lambda handler: handler.answers({"tools": [*bad, good]})})
    remote = connect(server.url)
    assert ask(remote, "tools/list", **modern())["result"]["tools"] == [good]
    assert caplog.text.count("its tool bad is left out") == len(bad)
    ask(remote, "tools/call", **modern(name="good", arguments={
        "region": " north\n", "inner": {"deep": 42}, "flag": True, "absent": None,
        "none": math.inf}))     # as 1e999 is read
    headers, _ = sees(server, "tools/call")
    assert {name: value for name, value in headers.items() if "Param" in name} == {
        "Mcp-Param-Region": "=?base64?IG5vcnRoCg==?=", "Mcp-Param-Deep": "42",
        "Mcp-Param-Flag": "true"}


def test_a_login_in_the_url_is_refused_and_not_left_out_in_silence(connect):
    with pytest.raises(StartFailed, match='has a login, which belongs into "headers"'):
        connect("http://me:secret@127.0.0.1:1/mcp")


@pytest.mark.parametrize("headers, agent", [
    ((), "mcp-local-router"), ((("user-agent", "mine"),), "mine")])
def test_a_request_says_who_we_are_and_wants_no_compression(serve, connect, headers, agent):
    server = serve()
    ask(connect(server.url, headers=headers), "ping")
    told = sees(server, "ping")[0]
    names = [name for name in told if name.lower() == "user-agent"]
    assert [told[name] for name in names] == [agent] and told["Accept-Encoding"] == "identity"


def test_headers_of_the_config_go_with_every_request_and_into_no_log(serve, connect, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve({"tools/list": lambda handler: handler.sends(
        500, "text/plain", "your token hunter2hunter2 is bad")})
    remote = connect(server.url, headers=(("X-Key", "hunter2hunter2"),),
                     secrets=("hunter2hunter2",))
    assert problem(ask(remote, "tools/list")).endswith("your token *** is bad")
    assert sees(server, "tools/list")[0]["X-Key"] == "hunter2hunter2"
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("header, told", [
    (("X-A", "a\r\nX-B: b"), "characters that no header may have"),
    (("X-A", "\u4e16"), "characters that no header may have"),
    (("X A", "a"), "is no name of a header"),
    (("Mcp-Session-Id", "a"), "the router sets it")])
def test_a_header_that_is_none_is_refused_at_the_start(connect, header, told):
    with pytest.raises(StartFailed, match=told):
        connect("http://127.0.0.1:1/", headers=(header,))


@pytest.mark.parametrize("url, headers, where, why", [
    ("unix:///tmp/x", {}, "url", "must begin with http:// or https:// and a host"),
    ("http:///mcp", {}, "url", "must begin with http:// or https:// and a host"),
    ("http://[::1/mcp", {}, "url", "has a host or a port that cannot be"),
    ("http://a:4094x/", {}, "url", "has a host or a port that cannot be"),
    ("http://a:99999/", {}, "url", "has a host or a port that cannot be"),
    ("http://a..b/", {}, "url", "has a host or a port that cannot be"),
    ("http://me:pw@a/", {}, "url",
     'has a login, which belongs into "headers", as "Authorization": "Basic …"'),
    ("http://a", {"a b": "x"}, "headers", "'a b' is no name of a header"),
    ("http://a", {"X": "a\nb"}, "headers.X",
     "has characters that no header may have, as a line break")])
def test_what_no_request_could_be_made_of_is_told_when_the_config_is_read(
        url, headers, where, why):
    assert list(check_request(url, headers)) == [(where, why)]


def test_a_url_that_is_none_fails_its_own_entry_and_hides_no_other(check):
    bad = {"url": "http://[::1/", "headers": {"a b": "x"}}
    status, answer = check({"good": listing("search"), "bad": bad}, as_json=True)
    assert status == 1 and answer["servers"]["good"]["state"] == "running"
    assert "bad.url: has a host or a port that cannot be" in answer["servers"]["bad"]["lastError"]


# -- who we are


def counting(folder):
    """A command that prints other headers each time: Bearer token-1, token-2, …"""
    script = folder / "count.py"
    script.write_text("import json, pathlib, sys\n"
                      "file = pathlib.Path(sys.argv[1]); file.touch()\n"
                      "file.write_text(file.read_text() + 'x')\n"
                      "number = len(file.read_text())\n"
                      "print(json.dumps({'Authorization': f'Bearer token-{number}'}))\n")
    return sys.executable, str(script), str(folder / "count")


def test_headers_of_a_command_are_made_anew_when_they_are_refused_once(
        serve, connect, tmp_path):
    def wants_the_second(handler):
        token = handler.headers["Authorization"]
        handler.answers({"token": token}) if token.endswith("2") else handler.sends(
            401, "text/plain", f"{token} has expired")
    remote = connect(serve({"*": wants_the_second}).url, headers_command=counting(tmp_path))
    assert ask(remote, "ping")["result"] == {"token": "Bearer token-2"}
    assert ask(remote, "ping", 2)["result"] == {"token": "Bearer token-2"}


def test_a_server_that_refuses_us_at_the_start_needs_authorization(serve, connect, tmp_path):
    server = serve({"*": lambda handler: handler.sends(
        401, "text/plain", f"no {handler.headers['Authorization']}",
        WWW_Authenticate='Bearer resource="x"')})
    remote = connect(server.url, headers_command=counting(tmp_path))
    remote.send({**request("initialize"), "id": 1})
    assert says(remote) == ("closed", 'needs authorization: answered HTTP 401 Unauthorized '
                                      '(Bearer resource="x"): no ***', math.inf)


@pytest.mark.parametrize("program, told", [
    ("print('[]')", "must print a JSON object of strings"),
    ("import sys; sys.exit('no key')", "exited with status 1: no key"),
    ("print('{\"X-A\": \"a\\\\nb\"}')", "characters that no header may have")])
def test_a_command_that_makes_no_headers_is_told(serve, connect, program, told):
    remote = connect(serve().url, headers_command=(sys.executable, "-c", program))
    assert told in problem(ask(remote, "ping"))


def test_a_command_for_headers_that_is_not_there_is_told(serve, connect):
    remote = connect(serve().url, headers_command=("/no/such/program",))
    assert problem(ask(remote, "ping")).endswith("could not be started: No such file or directory")


def test_a_command_for_headers_that_hangs_is_ended(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.config_headers.COMMAND_SECONDS", 0.2)
    remote = connect(serve().url, headers_command=(sys.executable, "-c",
                                                   "import time; time.sleep(60)"))
    assert problem(ask(remote, "ping")) == (
        'server "far" could not be asked: the command for its headers did not end within '
        "0.2 seconds")


def test_a_command_for_headers_that_runs_is_ended_at_the_end(serve, connect, tmp_path):
    begun = tmp_path / "begun"
    remote = connect(serve().url, headers_command=(
        "sh", "-c", f"sleep 60 & touch '{begun}'; wait"))  # two processes hold its output
    remote.send({**request("ping"), "id": 1})
    assert wait_until(begun.exists)
    remote.close()
    assert says(remote) == ("closed", "was closed", None) and remote.join(60)


# -- how a server answers


def test_an_answer_in_events_comes_after_what_belongs_to_it(serve, connect):
    def streams(handler):
        handler.begins_events()
        handler.wfile.write(b": hello\r\rid: 1\r\ndata\r\n\r\nevent: other\ndata: no\n\n")
        handler.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        text = json.dumps(handler.result({"n": 1}), indent=1)
        handler.wfile.write("".join(f"data: {line}\r" for line in text.splitlines()).encode()
                            + b"\r")
    remote = connect(serve({"tools/call": streams}).url)
    assert ask(remote, "tools/call")["method"] == "notifications/progress"
    assert says(remote)["result"] == {"n": 1}


def test_a_stream_that_breaks_is_resumed_where_it_was(serve, connect):
    def breaks(handler):
        handler.begins_events()
        handler.wfile.write(b"id: 5\nretry: 10\ndata:\n\n")

    def resumes(handler):
        handler.begins_events()
        handler.event({"jsonrpc": "2.0", "id": 1, "result": {"late": True}}, "id: 6\n")
    server = serve({"tools/call": breaks, "GET": resumes})
    assert ask(connect(server.url), "tools/call")["result"] == {"late": True}
    assert sees(server, "GET")[0]["Last-Event-ID"] == "5"


def test_a_stream_that_cannot_be_resumed_fails_its_request(serve, connect):
    def breaks(handler):
        handler.begins_events()
        handler.wfile.write(b"id: 5\nretry: 0\ndata:\n\n")
    assert problem(ask(connect(serve({"tools/call": breaks}).url), "tools/call")) == (
        'server "far" ended the stream of the request without an answer, and it could not be '
        "resumed: answered HTTP 405 Method Not Allowed: not here")


def test_what_a_server_says_of_its_own_accord_comes_on_its_stream_and_that_is_resumed(
        serve, connect):
    def stream(handler):
        handler.begins_events()
        number = int(handler.headers.get("Last-Event-ID", 0)) + 1
        handler.event({"jsonrpc": "2.0", "method": f"news/{number}"}, f"id: {number}\nretry: 5\n")
    remote = connect(serve({"GET": stream}).url)
    initialize(remote)
    assert [says(remote)["method"] for _ in range(3)] == ["news/1", "news/2", "news/3"]


def test_a_stream_for_which_the_server_is_too_busy_is_opened_later(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.server_stream.PAUSE", 0.01)
    statuses = iter([503, 429])

    def stream(handler):
        if status := next(statuses, None):
            handler.sends(status, "text/plain", "later", Retry_After="0")
        else:
            handler.begins_events()
            handler.event({"jsonrpc": "2.0", "method": "news"})
    remote = connect(serve({"GET": stream}).url)
    initialize(remote)
    assert says(remote)["method"] == "news"


def test_calls_wait_until_what_the_server_asks_during_them_has_a_way(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.server_stream.OPEN_SECONDS", 60)
    ways = []   # as with the TypeScript SDK, a question without one is lost

    def opens(handler):
        assert handler.server.release.wait(30)
        ways.append(handler)
        handler.begins_events()
        handler.server.finished.wait(30)

    def asks(handler):
        for way in ways:
            way.event({**request("elicitation/create"), "id": 9})
        handler.answers({})
        handler.server.finished.set()
    server = serve({"GET": opens, "tools/call": asks})
    server.finished = threading.Event()
    remote = connect(server.url)
    initialize(remote)
    remote.send({**request("tools/call", {"name": "a"}), "id": 1})
    assert ask(remote, "tools/list", 2)["id"] == 2  # lists need not wait
    seen = [server.seen.get(timeout=30)[0] for _ in range(4)]
    assert sorted(seen) == ["GET", "initialize", "notifications/initialized", "tools/list"]
    assert server.seen.empty()
    server.release.set()
    assert sorted(says(remote)["id"] for _ in range(2)) == [1, 9]


def test_a_server_that_does_not_answer_the_get_for_its_stream_holds_up_calls_once(
        serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.server_stream.OPEN_SECONDS", 0.3)
    server = serve({"GET": lambda handler: handler.server.release.wait(30)})
    remote = connect(server.url)
    initialize(remote)
    began = time.monotonic()
    for id in range(1, 101):
        assert ask(remote, "tools/call", id)["id"] == id
    assert time.monotonic() - began < 20    # and not 100 times 0.3 seconds


def test_a_server_without_a_stream_holds_up_no_call(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.server_stream.OPEN_SECONDS", 60)
    remote = connect(serve().url)
    initialize(remote)
    assert ask(remote, "tools/call")["result"]


def test_a_call_that_waits_for_the_stream_ends_with_the_connection(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.server_stream.OPEN_SECONDS", 60)
    server = serve({"GET": lambda handler: handler.server.release.wait(30)})
    remote = connect(server.url)
    initialize(remote)
    sees(server, "GET")
    remote.send({**request("tools/call", {"name": "a"}), "id": 1})
    remote.close()
    assert says(remote) == ("closed", "was closed", None) and remote.join(30)


@pytest.mark.parametrize("kind, accepts", [("sse", 202), (None, 202), (None, 200), (None, 204)])
def test_a_server_of_http_with_sse_is_found_out_or_told_to_be_one(
        serve, connect, kind, accepts):
    stream, script = old_server(accepts=accepts)
    remote = connect(serve(script).url, type=kind)
    initialize(remote)
    assert ask(remote, "tools/list")["result"]["path"] == "/messages?s=1"
    stream.put({"jsonrpc": "2.0", "method": "news"})
    assert says(remote)["method"] == "news"
    stream.put(None)
    assert says(remote) == ("closed", "closed its stream", None)


def test_a_server_that_is_told_to_be_streamable_is_not_asked_for_http_with_sse(serve, connect):
    _, script = old_server()
    assert problem(ask(connect(serve(script).url, type="http"), "initialize")).endswith(
        "answered HTTP 405 Method Not Allowed: GET me")


def test_an_endpoint_of_another_origin_is_refused(serve, connect):
    stream, script = old_server("http://elsewhere.example/messages")
    stream.put(None)
    remote = connect(serve(script).url, type="sse")
    assert says(remote) == ("closed", "sent us to http://elsewhere.example, which is another "
                                      'origin: if it is right, put it into "url"', None)


# -- cancelling


def test_a_modern_request_is_cancelled_by_closing_its_stream(serve, connect):
    server = serve({"tools/call": closes_after})
    remote = connect(server.url)
    remote.send({**request("tools/call", modern(name="a")), "id": 7})
    sees(server, "waits")
    remote.send(notification("notifications/cancelled", {"requestId": 7}))
    assert sees(server, "closed")[1] == b""
    assert ask(remote, "ping", 8, **modern())["id"] == 8
    assert sees(server, "ping") and server.seen.empty() and remote.said.empty()


def test_a_legacy_request_is_cancelled_by_saying_so(serve, connect):
    server = serve({"tools/call": closes_after})
    remote = connect(server.url)
    initialize(remote)
    remote.send({**request("tools/call", {"name": "a"}), "id": 7})
    sees(server, "waits")
    remote.send(notification("notifications/cancelled", {"requestId": 7}))
    assert sees(server, "notifications/cancelled")[1]["params"] == {"requestId": 7}
    assert sees(server, "closed")[1] == b""


def test_notifications_do_not_wait_for_requests_that_all_wait(serve, connect, monkeypatch):
    monkeypatch.setattr("upstreams.connections.remote.remote.MOST_REQUESTS", 2)
    server = serve({"tools/call": hangs})
    remote = connect(server.url)
    for id in range(5):
        remote.send({**request("tools/call", {"name": "a"}), "id": id})
    remote.send(notification("notifications/roots/list_changed"))
    sees(server, "notifications/roots/list_changed")


# -- faults


def closes_in_the_middle(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", JSON)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"jsonrpc"')
    handler.close_connection = True


def says_no_http(handler):
    handler.wfile.write(b"220 mail.example ESMTP\r\n\r\n")
    handler.close_connection = True


def hangs_up(handler):
    handler.close_connection = True


@pytest.mark.parametrize("fault, told", [
    (lambda handler: handler.sends(200, "text/html", "<html><style>x</style><p>Log in"),
     "sent text/html in place of an answer; it answered HTTP 200 OK: Log in"),
    (lambda handler: handler.sends(502, "text/html", "<h1>Bad</h1> gateway"),
     "answered HTTP 502 Bad Gateway: Bad gateway"),
    (closes_in_the_middle, "closed the connection in the middle of its answer"),
    (says_no_http, "sent something that is no HTTP"),
    (hangs_up, "closed the connection before its answer was complete"),
    (lambda handler: handler.sends(200, JSON, '{"half'), "sent an answer that cannot be passed"),
    (lambda handler: handler.sends(202, JSON, ""), "sent nothing in place of an answer; "
     "it answered HTTP 202 Accepted"),
    (lambda handler: handler.sends(200, JSON, "x" * 3000),
     "(HTTP 200): longer than 2000 bytes: xxx"),
    (lambda handler: handler.sends(307, JSON, "", Location="http://elsewhere.example/?key=a"),
     "sent us to http://elsewhere.example, which is another origin"),
    (lambda handler: handler.sends(302, JSON, "", Location="/other"), "would not keep the method"),
    (lambda handler: handler.sends(307, JSON, "", Location="/again"), "more than 5 times"),
    (lambda handler: handler.sends(429, JSON, "", Retry_After="17"),
     "answered HTTP 429 Too Many Requests; try again in 17 seconds"),
    (lambda handler: handler.answers({"x": 1}, Content_Encoding="gzip"), "compressed"),
])
def test_a_fault_is_told_to_who_called_and_to_nobody_else(serve, connect, fault, told):
    server = serve({"tools/call": fault})
    remote = connect(server.url, longest=2000)
    initialize(remote)
    answer = ask(remote, "tools/call", 5)
    assert answer["id"] == 5 and told in problem(answer) and "key=a" not in problem(answer)
    assert ask(remote, "ping", 6)["result"] == {"of": "ping"}


def test_an_error_of_the_server_passes_as_it_is_under_our_id(serve, connect):
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32022, "message": "m", "data": [1]}}
    remote = connect(serve({"*": lambda handler: handler.sends(400, JSON, json.dumps(body))}).url)
    assert ask(remote, "server/discover", 3, **modern()) == {**body, "id": 3}


def test_an_event_that_is_too_long_fails_its_request_only(serve, connect):
    def streams(handler):
        handler.begins_events()
        handler.event(handler.result({"x": "x" * 5_000_000}))
    remote = connect(serve({"tools/call": streams}).url, longest=2**20)
    assert "longer than 1048576 bytes" in problem(ask(remote, "tools/call"))
    assert ask(remote, "ping")["result"]


def test_an_answer_that_cannot_be_passed_on_is_not_waited_for_again(serve, connect):
    def streams(handler):
        handler.begins_events()
        handler.wfile.write(b"id: 5\nretry: 0\ndata: {half\n\n")
    remote = connect(serve({"tools/call": streams, "GET": hangs}).url)
    assert "sent an answer that cannot be passed on" in problem(ask(remote, "tools/call"))


def test_an_event_of_many_empty_lines_is_too_long_too():
    pieces = [b"data\n" * 11, b"\n", b"data\n" * 12, b"\n"]
    assert list(EventStream(10).events(pieces)) == [
        (b"message", b"\n" * 10, True), (b"message", b"\n" * 11, False)]


def test_an_event_of_five_megabytes_arrives(serve, connect):
    def streams(handler):
        handler.begins_events()
        handler.event(handler.result({"x": "x" * 5_000_000}))
    remote = connect(serve({"tools/call": streams}).url)
    assert len(ask(remote, "tools/call")["result"]["x"]) == 5_000_000


def test_a_stream_that_goes_on_after_its_answer_is_left(serve, connect):
    def goes_on(handler):
        handler.begins_events()
        handler.event(handler.result({}))
        while not handler.server.release.wait(0.05):
            handler.wfile.write(b": ping\n\n")
    server = serve({"tools/call": goes_on})
    assert ask(connect(server.url), "tools/call")["result"] == {}
    server.hung_up.get(timeout=30)


def test_a_server_that_never_answers_holds_up_nobody_and_not_the_end(serve, connect):
    server = serve({"tools/call": hangs, "prompts/get": lambda h: h.server.release.wait(60)})
    remote = connect(server.url)
    for method in ("tools/call", "prompts/get"):
        remote.send({**request(method, {"name": "a"}), "id": method})
        sees(server, method)
    assert ask(remote, "ping")["result"]
    remote.close()
    assert says(remote) == ("closed", "was closed", None) and remote.join(60)


def test_an_answer_to_nobody_is_passed_on_and_the_request_has_its_own(serve, connect):
    def streams(handler):
        handler.begins_events()
        handler.event({"jsonrpc": "2.0", "id": 999, "result": {}})
        handler.event(handler.result({"mine": True}))
    remote = connect(serve({"tools/call": streams}).url)
    assert ask(remote, "tools/call")["id"] == 999   # the Upstream drops it
    assert says(remote)["result"] == {"mine": True}


def test_a_server_that_has_forgotten_the_session_ends_the_connection(serve, connect):
    server = serve({"tools/call": lambda handler: handler.sends(404, JSON, "no such session")})
    remote = connect(server.url)
    initialize(remote)
    assert ask(remote, "tools/call") == ("closed", "the server has forgotten our session", 0)


def test_a_method_that_the_server_lacks_is_not_a_forgotten_session(serve, connect):
    server = serve({"tools/call": lambda handler: handler.sends(404, JSON, json.dumps(
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "not here"}}))})
    remote = connect(server.url)
    initialize(remote)
    assert problem(ask(remote, "tools/call")) == "not here"


def test_a_server_that_is_not_there_ends_the_connection_at_its_start_only(serve, connect):
    server = serve({"ping": lambda handler: handler.answers({}, Connection="close")})
    remote = connect(server.url)
    assert ask(remote, "ping")["result"] == {}
    server.shutdown()
    server.server_close()
    assert "cannot be reached: 127.0.0.1" in problem(ask(remote, "ping", 2))
    _, reason, pause = ask(connect(server.url), "server/discover")
    assert "no connection: Connection refused" in reason and pause is None


def test_a_server_that_is_busy_at_the_start_says_when_to_come_again(serve, connect):
    server = serve({"*": lambda handler: handler.sends(503, "text/plain", "soon",
                                                       Retry_After="30")})
    assert ask(connect(server.url), "server/discover", **modern()) == (
        "closed", "answered HTTP 503 Service Unavailable: soon; try again in 30 seconds", 30)


def test_a_kept_connection_that_the_server_closed_is_not_used_again(serve, connect):
    server = serve({"ping": lambda handler: (handler.answers({}),
                                             setattr(handler, "close_connection", True))})
    remote = connect(server.url)
    for id in range(20):
        assert "result" in ask(remote, "ping", id)
        server.hung_up.get(timeout=30)


# -- TLS and proxies


def test_a_certificate_of_a_ca_of_the_config_is_trusted(serve_tls, connect, certificate):
    remote = connect(serve_tls().url, ca=certificate)
    assert ask(remote, "ping")["result"] and ask(remote, "ping", 2)["result"]


def test_a_certificate_of_nobody_we_know_is_refused(serve_tls, connect):
    _, reason, pause = ask(connect(serve_tls().url), "ping")
    assert "its certificate is not trusted: self-signed certificate" in reason and pause is None


def test_we_show_a_certificate_where_one_is_asked_for(serve_tls, connect, certificate):
    server = serve_tls(ask_for_one=True)
    assert ask(connect(server.url, ca=certificate, certificate=certificate, key=certificate),
               "ping")["result"]


def test_a_request_over_tls_that_never_is_answered_is_woken_at_the_end(
        serve_tls, connect, certificate):
    server = serve_tls({"tools/call": hangs})
    remote = connect(server.url, ca=certificate)
    remote.send({**request("tools/call"), "id": 1})
    sees(server, "tools/call")
    remote.close()
    assert says(remote) == ("closed", "was closed", None) and remote.join(60)


def test_a_proxy_of_the_environment_is_asked_with_its_password(serve, connect, monkeypatch):
    proxy = serve()
    monkeypatch.setenv("http_proxy", f"http://me:pass%20word@127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert ask(connect("http://far.example/mcp"), "ping")["result"]
    headers, _ = sees(proxy, "ping")
    assert headers["Proxy-Authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert headers["Host"] == "far.example"


def test_a_server_on_this_machine_is_not_looked_for_through_a_proxy(serve, connect, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{serve().server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    far = serve()
    assert ask(connect(far.url), "ping")["result"] and sees(far, "ping")


def test_a_proxy_that_refuses_the_tunnel_is_told(serve, connect, monkeypatch):
    proxy = serve()     # which knows no CONNECT
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_port}")
    assert "Tunnel connection failed: 501 Unsupported method" in ask(
        connect("https://far.example/mcp"), "ping")[1]


# -- below a router


@pytest.fixture
def router():
    """router(far={…}) is a whole router in front of remote servers, by fields of their Entry."""
    clock, pools = Clock(), []
    clock.start()

    def start(**servers):
        entries = {name: Entry(name, prefix=f"{name}__", restart_attempts=math.inf,
                               **{"restart_pause": 0.05, **fields})
                   for name, fields in servers.items()}
        pools.append(Pool(entries, lambda entry, label: Remote(entry, label, clock), clock,
                          SERVER_INFO, open_life=open_life))
        pools[-1].start()
        return Router(pools[-1], clock)
    yield start
    for pool in pools:
        pool.close()
    clock.close()


def client_of(router, capabilities=None):
    """A client that is past its initialize."""
    client = Client(router)
    answer = client.asks("initialize", protocolVersion=LATEST, capabilities=capabilities or {},
                         clientInfo={"name": "test", "version": "1"})
    assert "result" in answer
    client.sends(method="notifications/initialized")
    return client


class Client:
    """A client of a router in this process."""

    def __init__(self, router):
        self.router, self.session = router, router.open("test")
        self.others = []    # what came, and nobody has asked for yet

    def sends(self, **message):
        self.router.handle(self.session, {"jsonrpc": "2.0", **message}, self.session.outbox)

    def asks(self, method, id=1, **params):
        """Returns the answer."""
        self.sends(id=id, method=method, params=params)
        return self.gets(lambda message: "method" not in message)

    def gets(self, is_wanted):
        while not (wanted := [message for message in self.others if is_wanted(message)]):
            found = self.session.outbox.get(30)
            assert found, f"only {self.others}"
            self.others += map(json.loads, found)
        self.others.remove(wanted[0])
        return wanted[0]


def tools(*names):
    return lambda handler: handler.answers(
        {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names]})


def is_about_lists(message):
    return message.get("method") == "notifications/tools/list_changed"


def test_a_forgotten_session_is_replaced_at_once_and_lists_are_new(serve, router):
    forgets = threading.Event()

    def call(handler):
        if handler.headers["Mcp-Session-Id"] == "s2":
            handler.answers({"content": []})
        else:
            forgets.set()
            handler.sends(404, "text/plain", "no such session")
    numbers = iter(range(1, 9))
    far = serve({"tools/list": tools("t"), "tools/call": call,
                 "initialize": lambda handler: handler.answers(
                     {"protocolVersion": LATEST, "capabilities": {"tools": {}}},
                     Mcp_Session_Id=f"s{next(numbers)}")})
    client = client_of(router(far={"url": far.url, "restart_pause": 60}))
    assert [tool["name"] for tool in client.asks("tools/list")["result"]["tools"]] == ["far__t"]
    answer = client.asks("tools/call", name="far__t")
    assert "the server has forgotten our session" in problem(answer) and forgets.is_set()
    client.gets(is_about_lists)
    assert client.asks("tools/call", name="far__t")["result"] == {"content": []}
    assert client.router.health()["servers"]["far"]["restarts"] == 0


def test_a_server_that_forgets_every_session_at_once_is_not_asked_without_a_pause(
        serve, router):
    far = serve({"initialize": lambda handler: handler.answers(
        {"protocolVersion": LATEST, "capabilities": {"tools": {}}}, Mcp_Session_Id="s"),
        "tools/list": lambda handler: handler.sends(404, "text/plain", "no such session")})
    front = router(far={"url": far.url, "restart_pause": 60})
    client_of(front)    # a server that nobody uses would not be started again anyway
    for _ in range(2):
        sees(far, "initialize")
    assert wait_until(lambda: front.health()["servers"]["far"]["state"] == "failed"
                      and far.seen.qsize() >= 2)
    front.clock.after(0.3, far.release.set)
    assert far.release.wait(30)
    methods = [far.seen.get()[0] for _ in range(far.seen.qsize())]
    assert "initialize" not in methods and "server/discover" not in methods


def test_a_server_that_is_down_at_the_start_is_tried_until_it_is_there(serve, router):
    down = serve()
    down.shutdown()
    down.server_close()
    front = router(far={"url": down.url, "start_timeout": 5})
    client = client_of(front)
    assert client.asks("tools/list")["result"]["tools"] == []
    assert "cannot be reached" in front.health()["servers"]["far"]["lastError"]
    assert wait_until(lambda: front.health()["servers"]["far"]["restarts"] > 2)
    serve({"initialize": lambda handler: handler.answers(
        {"protocolVersion": LATEST, "capabilities": {"tools": {}}}),
        "tools/list": tools("t")}, port=down.server_port)
    client.gets(is_about_lists)
    assert [tool["name"] for tool in client.asks("tools/list")["result"]["tools"]] == ["far__t"]


def test_a_server_that_needs_authorization_is_not_tried_again(serve, router):
    far = serve({"*": lambda handler: handler.sends(403, "text/plain", "not you")})
    front = router(far={"url": far.url})
    client_of(front)
    assert front.health()["servers"]["far"]["lastError"] == \
        "needs authorization: answered HTTP 403 Forbidden: not you"
    assert sees(far, "server/discover")
    front.clock.after(0.3, far.release.set)     # much longer than its pause
    assert far.release.wait(30) and far.seen.empty()


def modern_server(listen):
    """A modern server; listen(handler) is what it does once a subscription is acknowledged."""
    def subscribe(handler):
        handler.begins_events()
        handler.event({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                       "params": {"notifications": {"toolsListChanged": True}, "_meta": {
                           "io.modelcontextprotocol/subscriptionId": handler.message["id"]}}})
        listen(handler)
    return {
        "server/discover": lambda handler: handler.answers({
            "resultType": "complete", "supportedVersions": [MODERN_REVISION],
            "capabilities": {"tools": {"listChanged": True}}, "ttlMs": 0, "cacheScope": "public"}),
        "tools/list": tools("t"),
        "subscriptions/listen": subscribe}


def test_a_legacy_server_that_has_become_a_modern_one_is_found_out(serve, router):
    far = serve({"initialize": lambda handler: handler.answers(
        {"protocolVersion": LATEST, "capabilities": {"tools": {}}}, Mcp_Session_Id="s"),
        "tools/list": tools("t")})
    front = router(far={"url": far.url})
    client = client_of(front)
    assert client.asks("tools/list")["result"]["tools"]
    forgotten = {"*": lambda handler: handler.sends(404, "text/plain", "no such session"),
                 "initialize": lambda handler: handler.sends(400, JSON, json.dumps(
                     {"jsonrpc": "2.0", "id": handler.message["id"],
                      "error": {"code": -32022, "message": "not any more"}}))}
    far.script = {**forgotten, **modern_server(lambda handler: handler.server.release.wait(60))}
    assert "forgotten our session" in problem(client.asks("tools/call", name="far__t"))
    client.gets(is_about_lists)
    assert wait_until(lambda: front.health()["servers"]["far"]["revision"] == MODERN_REVISION)


def test_a_modern_server_is_listened_to_again_when_its_stream_breaks(
        serve, router, monkeypatch):
    monkeypatch.setattr("upstreams.eras.listening.PAUSE", 0.05)
    breaks = threading.Event()

    def listen(handler):
        (handler.server.release if breaks.is_set() else breaks).wait(60)
    far = serve(modern_server(listen))
    client = client_of(router(far={"url": far.url}))
    assert client.asks("tools/list")["result"]["tools"][0]["name"] == "far__t"
    sees(far, "subscriptions/listen")
    far.script["tools/list"] = tools("new")
    breaks.set()
    sees(far, "subscriptions/listen")
    client.gets(is_about_lists)
    assert client.asks("tools/list")["result"]["tools"][0]["name"] == "far__new"


def test_a_change_of_lists_comes_from_a_modern_server(serve, router):
    changes = threading.Event()

    def listen(handler):
        assert changes.wait(30)
        handler.event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {
            "_meta": {"io.modelcontextprotocol/subscriptionId": handler.message["id"]}}})
        handler.server.release.wait(60)
    client = client_of(router(far={"url": serve(modern_server(listen)).url}))
    assert client.asks("tools/list")["result"]["tools"]
    changes.set()
    client.gets(is_about_lists)


# -- a router behind a router


@pytest.mark.parametrize("path", ["mcp", "sse"])
def test_a_router_behind_a_router_gives_the_same(start_router, router, path):
    behind = start_router({"fake": fake(), "time": {
        "command": sys.executable, "args": [str(ROOT / "upstreams" / "servers" / "timekeeper.py")],
        "prefix": ""}})
    client = client_of(router(
        fake={"url": f"{behind.url}/{path}/fake"}, time={"url": f"{behind.url}/{path}/time"}))
    names = {tool["name"] for tool in client.asks("tools/list")["result"]["tools"]}
    assert {"fake__echo", "fake__ask"} < names and any(name.startswith("time__")
                                                       for name in names)
    answer = client.asks("tools/call", name="fake__echo", arguments={"text": "ü\u2028"})
    assert answer["result"]["content"][0]["text"] == "ü\u2028"
    answer = client.asks("tools/call", name="fake__big", arguments={"bytes": 2_000_000})
    assert len(answer["result"]["content"][0]["text"]) == 2_000_000


@pytest.mark.parametrize("path", ["mcp", "sse"])
def test_a_question_comes_through_two_routers_and_so_does_its_answer(start_router, router, path):
    behind = start_router({"fake": fake()})
    client = client_of(router(fake={"url": f"{behind.url}/{path}/fake"}), {"elicitation": {}})
    client.sends(id=5, method="tools/call", params={
        "name": "fake__ask", "arguments": {"method": "elicitation/create"}})
    question = client.gets(lambda message: message.get("method") == "elicitation/create")
    client.sends(id=question["id"], result={"action": "accept"})
    answer = client.gets(lambda message: message.get("id") == 5)
    assert "result" in answer


def test_a_cancelled_call_is_cancelled_behind_the_second_router(start_router, router):
    behind = start_router({"fake": fake()}, "--log-level", "debug")
    client = client_of(router(fake={"url": f"{behind.url}/mcp/fake"}))
    client.sends(id=5, method="tools/call", params={"name": "fake__wait", "arguments": {}})
    assert wait_until(lambda: calls_in(behind) == 1)
    client.sends(method="notifications/cancelled", params={"requestId": 5})
    assert wait_until(lambda: calls_in(behind) == 0)


def calls_in(behind):
    with urllib.request.urlopen(f"{behind.url}/health") as answer:
        return json.load(answer)["callsInFlight"]
