"""upstreams/relay.py in one thread: a client, and connections whose other end the test plays."""

import contextlib
import json

import pytest
from scripted import JSON, default, far_server

from transports.fabric.messages import InvalidMessage, decode, encode
from transports.fabric.peers import StartFailed
from transports.program.clock import Clock
from transports.program.options import Limits
from transports.tap.tap import tap
from upstreams.connections.remote.remote import Remote
from upstreams.relay import relay
from upstreams.relay.relay import FIRST_PAUSE, LONGEST_KEPT, LONGEST_PAUSE, Relay, entry_for
from upstreams.server.audience import MOST_SUBSCRIPTIONS

from world import FakeClock

URL = "http://127.0.0.1:8080/mcp"
HELLO = {"id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
READY = {"method": "notifications/initialized"}
CAPABILITIES = {"tools": {"listChanged": True}, "prompts": {}, "resources": {"listChanged": True}}


class Connection:
    """A connection to the far end, which is a list of what it was sent."""

    refused_with = None

    def __init__(self, works=True):
        self.sent, self.works = [], works
        self.started = self.closed = False

    def start(self, on_message, on_closed):
        if not self.works:
            raise StartFailed("no route")
        self.started = True
        self._on_message, self._on_closed = on_message, on_closed

    def send(self, message):
        self.sent.append({key: value for key, value in message.items() if key != "jsonrpc"})

    def says(self, **message):
        self._on_message(decode(encode({"jsonrpc": "2.0", **message})))

    def forgets(self):
        self._on_closed("it has forgotten the session")

    def close(self):
        self.closed = True

    def join(self, _seconds):
        return self.closed


class Line:
    """A client, its relay, and all the connections that this has made."""

    def __init__(self):
        self.clock, self.connections, self.works = FakeClock(), [], True
        self.relay = Relay(entry_for(URL), self._connect, self.clock, Limits(calls=5))
        self.session = self.relay.open("test")
        self.session.outbox.get(0)

    def _connect(self):
        self.connections.append(Connection(self.works))
        return self.connections[-1]

    @property
    def far(self):
        return self.connections[-1]

    def sends(self, *messages):
        for message in messages:
            self.relay.handle(self.session, decode(encode({"jsonrpc": "2.0", **message})),
                              self.session.outbox)

    def gets(self):
        got = []
        while isinstance(found := self.session.outbox.get(0), list) and found:
            got += map(json.loads, found)
        return [{key: value for key, value in message.items() if key != "jsonrpc"}
                for message in got]

    def opens(self):
        """The client opens its session."""
        self.sends(HELLO)
        self.far.says(id=0, result={"capabilities": CAPABILITIES})
        self.sends(READY)
        assert [message["id"] for message in self.gets()] == [0]
        self.far.sent.clear()


@pytest.fixture
def line():
    return Line()


def test_the_tap_sees_which_call_a_question_belongs_to(line):
    line.opens()
    reader = tap.open()
    line.sends({"id": 7, "method": "tools/call"})
    line.far.says(id="q", method="roots/list")
    line.sends({"id": "q", "result": {}})
    line.far.says(id=7, result={})
    reader.close()
    records, missed = reader.read(0)
    seen = [json.loads(record.line()) for record in records]
    assert [(one["place"], one["id"]) for one in seen] == [
        ("from client", 7), ("to server", 7), ("from server", "q"), ("to client", "q"),
        ("from client", "q"), ("to server", "q"), ("from server", 7), ("to client", 7)]
    assert missed == 0 and len({one["call"] for one in seen}) == 1


@pytest.fixture
def open_line(line):
    line.opens()
    return line


def test_both_ends_hear_each_other_as_they_are(line):
    odd = {"id": "a", "method": "future/method", "params": {"_meta": {"x": 1}}, "more": True}
    line.sends(odd, {"method": "future/news"})
    assert line.far.sent == [odd, {"method": "future/news"}]
    line.far.says(method="notifications/progress", params={"progressToken": 7})
    line.far.says(id="a", result={}, more=2)
    assert line.gets() == [{"method": "notifications/progress", "params": {"progressToken": 7}},
                           {"id": "a", "result": {}, "more": 2}]


def test_a_question_of_the_server_is_answered_once_and_under_its_own_id(open_line):
    open_line.far.says(id=0, method="roots/list")
    assert open_line.gets() == [{"id": 0, "method": "roots/list"}]
    open_line.sends({"id": 0, "result": {"roots": []}}, {"id": 0, "result": {"roots": []}})
    assert open_line.far.sent == [{"id": 0, "result": {"roots": []}}]


def test_a_batch_goes_on_message_by_message(open_line):
    parts = [{"jsonrpc": "2.0", **message} for message in ({"id": 1, "method": "ping"}, READY)]
    open_line.relay.handle(open_line.session, parts, open_line.session.outbox)
    assert open_line.far.sent == [{"id": 1, "method": "ping"}, READY]
    with pytest.raises(InvalidMessage):
        open_line.relay.handle(open_line.session, [], open_line.session.outbox)


def test_a_cancelled_request_is_waited_for_no_longer(open_line):
    cancelled = {"method": "notifications/cancelled", "params": {"requestId": 1}}
    open_line.sends({"id": 1, "method": "tools/call"}, cancelled)
    assert open_line.far.sent[1] == cancelled
    assert open_line.session.calls.wait_until_empty(0)
    open_line.far.says(id=1, result={})
    assert open_line.gets() == []


def test_an_answer_that_has_lost_its_result_ends_its_question(line):
    """JavaScript leaves out a result that is undefined."""
    line.opens()
    line.far.says(id=5, method="roots/list")
    line.gets()
    line.sends({"id": 5}, {"id": 5})
    (answer,) = line.far.sent
    assert answer["id"] == 5 and "without a result" in answer["error"]["message"]
    with pytest.raises(InvalidMessage):
        line.sends({"id": None})


def test_what_a_client_says_before_initialize_is_answered_waits_for_that(line):
    listing = {"id": 1, "method": "tools/list"}
    line.sends(HELLO, READY, listing)
    assert line.far.sent == [HELLO]     # a message without a session would be refused
    line.far.says(id=0, result={"capabilities": {}})
    assert line.far.sent == [HELLO, READY, listing]


@pytest.mark.parametrize("early", ["ping", "server/discover"])
def test_what_is_asked_before_initialize_goes_on_at_once_and_lets_nothing_overtake_that(
        line, early):
    first, listing = {"id": "e", "method": early}, {"id": 1, "method": "tools/list"}
    line.sends(first)
    assert line.far.sent == [first]
    line.far.says(id="e", error={"code": -32601, "message": "not here"})
    line.sends(HELLO, READY, listing)
    assert line.far.sent == [first, HELLO]
    line.far.says(id=0, result={"capabilities": {}})
    assert line.far.sent == [first, HELLO, READY, listing]


def test_after_a_refused_initialize_another_one_is_waited_for_too(line):
    line.sends(HELLO)
    line.far.says(id=0, error={"code": -32602, "message": "not so"})
    again, listing = {**HELLO, "id": 1}, {"id": 2, "method": "tools/list"}
    line.sends(again, listing)
    assert line.far.sent == [HELLO, again]
    line.far.says(id=1, result={"capabilities": {}})
    assert line.far.sent == [HELLO, again, listing]


def test_what_comes_just_before_the_next_connection_has_started_is_answered(line, monkeypatch):
    line.sends(HELLO)
    line.far.forgets()
    assert line.gets()[-1]["error"]
    start = Connection.start

    def start_late(far, *functions):
        line.sends({**HELLO, "id": 1})
        start(far, *functions)
    monkeypatch.setattr(Connection, "start", start_late)
    line.clock.advance(0)
    assert line.gets()[-1]["id"] == 1
    line.sends({**HELLO, "id": 2})
    assert [message["id"] for message in line.far.sent] == [2]


def test_what_is_kept_for_the_next_session_is_bounded(open_line):
    def subscribes(id, uri):
        open_line.sends({"id": id, "method": "resources/subscribe", "params": {"uri": uri}})
        open_line.far.says(id=id, result={})
    for number in range(MOST_SUBSCRIPTIONS + 10):
        subscribes(number, f"a:{number}")
    subscribes("long", "a:" + LONGEST_KEPT * "x")
    open_line.far.forgets()
    open_line.clock.advance(0)
    open_line.far.says(id=open_line.far.sent[0]["id"], result={"capabilities": {}})
    uris = [message["params"]["uri"] for message in open_line.far.sent
            if message["method"] == "resources/subscribe"]
    assert uris == [f"a:{number}" for number in range(10, MOST_SUBSCRIPTIONS + 10)]


def test_of_more_questions_than_a_client_may_have_to_answer_the_last_is_refused(
        open_line, monkeypatch):
    monkeypatch.setattr(relay, "MOST_QUESTIONS", 3)
    for id in range(4):
        open_line.far.says(id=id, method="roots/list")
    assert [message["id"] for message in open_line.gets()] == [0, 1, 2]
    (refusal,) = open_line.far.sent
    assert refusal["id"] == 3 and "too much waits" in refusal["error"]["message"]


def test_a_request_that_is_cancelled_while_it_waits_is_not_passed_on(line):
    line.sends(HELLO, {"id": 1, "method": "tools/list"},
               {"method": "notifications/cancelled", "params": {"requestId": 1}})
    line.far.says(id=0, result={"capabilities": {}})
    assert [message.get("id") for message in line.far.sent] == [0, None]


def test_an_id_that_is_in_use_and_one_request_too_many_are_refused(open_line):
    open_line.sends(*({"id": id, "method": "tools/call"} for id in (1, 1, 2, 3, 4, 5, 6)))
    assert [message["id"] for message in open_line.far.sent] == [1, 2, 3, 4, 5]
    assert [message["error"]["code"] for message in open_line.gets()] == [-32600, -32000]


def test_a_forgotten_session_is_opened_again_and_the_client_only_hears_of_changed_lists(open_line):
    first = open_line.far
    level = {"id": 1, "method": "logging/setLevel", "params": {"level": "debug"}}
    watch, other = ({"id": id, "method": "resources/subscribe", "params": {"uri": uri}}
                    for id, uri in ((2, "a:1"), (3, "a:2")))
    open_line.sends(level, watch, other,
                    {"id": 4, "method": "resources/unsubscribe", "params": {"uri": "a:2"}})
    for id in range(1, 5):
        first.says(id=id, result={})
    open_line.gets()
    first.forgets()
    open_line.clock.advance(0)
    second = open_line.far
    (hello,) = second.sent
    assert second is not first and {**hello, "id": 0} == HELLO and hello["id"] != 0
    second.says(id=hello["id"], result={"capabilities": {}})
    repeated = second.sent[1:]
    assert [message.get("params") for message in repeated] == [
        None, {"level": "debug"}, {"uri": "a:1"}]
    assert repeated[0] == READY
    for message in repeated[1:]:
        assert message["id"] not in range(5)
        second.says(id=message["id"], result={})
    assert open_line.gets() == [{"method": "notifications/tools/list_changed"},
                                {"method": "notifications/resources/list_changed"}]
    open_line.sends({"id": 9, "method": "tools/list"})
    assert second.sent[-1] == {"id": 9, "method": "tools/list"}


def test_what_was_under_way_in_a_lost_session_ends_with_it(open_line):
    open_line.far.says(id="q", method="roots/list")
    open_line.sends({"id": 1, "method": "tools/call"})
    open_line.gets()
    open_line.far.forgets()
    failed, cancelled = open_line.gets()
    assert failed["id"] == 1 and failed["error"]["message"] == (
        f"{URL}: it has forgotten the session; its session is opened again")
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == "q"
    open_line.clock.advance(0)
    open_line.sends({"id": "q", "result": {"roots": []}})
    assert len(open_line.far.sent) == 1     # the answer to a question of the lost session is none


def test_where_no_session_was_open_none_is_said_to_be_opened_again(line):
    line.sends(HELLO)
    line.far.forgets()
    assert line.gets()[0]["error"]["message"] == (
        f"{URL}: it has forgotten the session; it is tried again")


def test_while_a_session_cannot_be_opened_again_requests_fail_at_once_and_pauses_grow(open_line):
    open_line.far.forgets()
    pauses, tries = [], len(open_line.connections)
    open_line.clock.advance(0)
    for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE):
        refused = open_line.far
        refused.says(id=refused.sent[0]["id"], error={"code": -32000, "message": "who are you?"})
        assert refused.closed
        open_line.sends({"id": 1, "method": "tools/list"})
        (answer,) = open_line.gets()
        assert "who are you?" in answer["error"]["message"]
        tries = len(open_line.connections)
        open_line.clock.advance(pause - 0.01)
        assert len(open_line.connections) == tries
        open_line.clock.advance(0.02)
        pauses.append(len(open_line.connections) - tries)
    assert pauses == [1, 1, 1]


def test_a_connection_that_cannot_start_is_tried_again_for_ever(open_line):
    open_line.works = False
    open_line.far.forgets()
    open_line.clock.advance(20 * LONGEST_PAUSE)
    assert len(open_line.connections) > 20
    open_line.works = True
    open_line.clock.advance(LONGEST_PAUSE)
    open_line.far.says(id=open_line.far.sent[0]["id"], result={})
    assert open_line.gets()[0]["method"] == "notifications/tools/list_changed"


def test_what_a_client_says_while_its_session_is_lost_counts_in_the_next_one(line):
    line.sends(HELLO)
    line.far.says(id=0, result={"capabilities": {}})
    line.far.forgets()
    line.sends(READY)
    line.clock.advance(0)
    line.far.says(id=line.far.sent[0]["id"], result={})
    assert line.far.sent[1:] == [READY]


def test_a_client_without_a_session_needs_none_on_the_next_connection(line):
    line.sends({"id": 1, "method": "server/discover"})
    line.far.forgets()
    line.clock.advance(0)
    line.sends({"id": 2, "method": "server/discover"})
    assert line.far.sent == [{"id": 2, "method": "server/discover"}]
    assert [message["id"] for message in line.gets()] == [1]


def test_the_end_of_the_client_ends_the_session_and_nothing_begins_again(open_line):
    open_line.sends({"id": 1, "method": "tools/call"})
    open_line.relay.leave(open_line.session)
    assert open_line.far.closed
    open_line.far.forgets()
    open_line.clock.advance(100)
    assert len(open_line.connections) == 1


def test_a_client_that_leaves_between_two_connections_leaves_nothing(open_line):
    open_line.far.forgets()
    open_line.relay.leave(open_line.session)
    open_line.clock.advance(100)
    assert not any(connection.started for connection in open_line.connections[1:])


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080/mcp", "ftp://a/b", "http://", "http://a:b/"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match="--connect"):
        entry_for(url)


def test_the_token_goes_into_a_header_and_into_no_log():
    entry = entry_for("http://a.example:1/sse?key=k", b"hunter2", is_meant=True)
    assert entry.headers == (("Authorization", "Bearer hunter2"),) and "hunter2" in entry.secrets
    assert (entry.name, entry.type) == ("http://a.example:1/sse", "sse")


@pytest.mark.parametrize("url, is_meant, goes", [
    ("http://127.0.0.1:1/", False, True), ("http://localhost:1/", False, True),
    ("https://a.example/", False, False), ("https://127.0.0.1.example/", False, False),
    ("https://a.example/", True, True)])
def test_the_token_of_the_environment_goes_to_this_machine_only(url, is_meant, goes):
    assert bool(entry_for(url, b"hunter2", is_meant).headers) == goes


@pytest.mark.parametrize("status, body", [
    (404, "no such"), (410, "gone"), (400, "Session not found"),
    (200, '{"jsonrpc": "2.0", "id": null, "error": {"code": -32001, "message": '
          '"Session not found"}}')])
def test_a_session_that_is_gone_in_any_words_is_opened_again(status, body):
    sessions = iter(("s1", "s2"))

    def gone(handler):
        if handler.headers["Mcp-Session-Id"] == "s1":
            handler.sends(status, JSON, body)
        else:
            default(handler)
    script = {"tools/call": gone, "ping": gone, "initialize": lambda handler: handler.answers(
        {"capabilities": CAPABILITIES}, Mcp_Session_Id=next(sessions))}
    clock = Clock()
    clock.start()
    with far_server(script) as url, contextlib.closing(clock):
        entry = entry_for(url)
        relay = Relay(entry, lambda: Remote(entry, "server", clock), clock, Limits())
        session, got = relay.open("test"), []

        def says(*messages, until):
            for message in messages:
                relay.handle(session, {"jsonrpc": "2.0", **message}, session.outbox)
            while not any(until in each.items() for each in got):
                got.extend(map(json.loads, session.outbox.get(5)))
            return next(each for each in got if until in each.items())
        says(HELLO, READY, until=("id", 0))
        failed = says({"id": 1, "method": "tools/call"}, until=("id", 1))
        assert "ession" in str(failed["error"])
        says(until=("method", "notifications/tools/list_changed"))
        assert says({"id": 2, "method": "tools/call"}, until=("id", 2))["result"]
        relay.leave(session)
