"""Sessions over HTTP whose connections break: what goes where, and when they end.

Real views and sessions; the TCP connections are played, and so is the time that has passed.
"""

import gc
import types
import weakref

import flask
import pytest

from transports.fabric import outbox as outbox_module
from transports.fabric.session import UsedUp
from transports.http.sse import HttpSse
from transports.http.streamable import streamable
from transports.http.streamable.streamable import GONE_SECONDS, StreamableHttp

from played_connection import HEARTBEAT, Connection, Streams, posted, request, waiting_posts
from streamable_by_hand import HELLO
from world import World, offers


class HttpClients:
    """Clients of one router: `initialize` gives a session, `listen` its own stream."""

    def __init__(self):
        self.world = World(a=offers(tools=["t"]))
        self.router, self.server = self.world.router, self.world["a"]
        self.transport = StreamableHttp(self.router, self.world.clock, Streams(), HEARTBEAT)
        self._app = flask.Flask("test")
        self._app.register_blueprint(self.transport.views())
        self._views = self._app.test_client()

    def initialize(self, hello=HELLO):
        """A session, after the whole handshake."""
        (answer,) = self.post(hello).answers
        session = self.router.sessions.find(dict(answer.headers)["Mcp-Session-Id"])
        self.post({"method": "notifications/initialized"}, session)
        return session

    def post(self, message, session=None):
        """The connection on which the message was posted."""
        connection = Connection()
        reply = posted(self.transport, request(message, session), connection)
        if reply is not None:
            connection.answer(reply)
        return connection

    def call(self, session, id=1):
        return self.post({"id": id, "method": "tools/call", "params": {"name": "a__t"}}, session)

    def answer(self, **more):
        """The server answers the call that it was asked last."""
        self.server.says(id=self.server.takes()[-1]["id"], result=more)

    def listen(self, session, **headers):
        """The response to a GET; `close` is what happens when its connection breaks."""
        connection = Connection()
        response = self._views.get("/mcp", headers={
            "Mcp-Session-Id": session.id, "Accept": "text/event-stream", **headers},
            environ_overrides=connection.environ())
        response.call_on_close(connection.is_answered)
        return response

    def become_stream(self, connection):
        """The response to a POST that was silent for so long that it became a stream."""
        waiting_posts(self.router)[0].ready()
        response = connection.streams.pop().as_stream()
        if isinstance(response, flask.Response):
            response.call_on_close(connection.is_answered)
        return response

    def pass_time(self, session, seconds):
        """So many seconds without a message; the clock looks whether the session has ended."""
        session.last_used -= seconds
        self.world.clock.advance(seconds)

    def is_there(self, session):
        return self.router.sessions.find(session.id) is session


@pytest.fixture
def http():
    return HttpClients()


def test_a_session_whose_own_stream_has_closed_ends_after_two_minutes_of_silence(http):
    session = http.initialize()
    http.listen(session).close()
    http.pass_time(session, GONE_SECONDS / 2)
    http.post({"id": 2, "method": "ping"}, session)  # a sign of life
    http.pass_time(session, GONE_SECONDS / 2 + 1)
    assert http.is_there(session)
    http.pass_time(session, GONE_SECONDS / 2 + 20)
    assert not http.is_there(session)


def test_a_session_that_never_had_a_stream_of_its_own_may_be_idle_for_longer(http):
    session = http.initialize()
    idle = http.router.limits.idle
    http.pass_time(session, idle - 60)
    assert http.is_there(session)
    http.pass_time(session, 120)
    assert not http.is_there(session)


def test_a_stream_that_is_open_is_a_sign_of_life(http):
    session = http.initialize()
    http.listen(session).close()
    again = http.listen(session)
    http.pass_time(session, 2 * http.router.limits.idle)
    assert http.is_there(session)
    again.close()
    http.pass_time(session, GONE_SECONDS + 20)
    assert not http.is_there(session)


def test_a_post_that_waits_is_a_sign_of_life_but_a_call_without_a_client_is_not(http):
    session = http.initialize()
    http.listen(session).close()
    post = http.call(session)
    call = http.server.take()
    session.last_used -= 2 * http.router.limits.idle
    http.world.clock.advance(GONE_SECONDS + 20)
    assert http.is_there(session)
    post.breaks()  # nobody waits for the call any more, and it is never answered
    http.pass_time(session, GONE_SECONDS + 20)
    assert not http.is_there(session)
    assert http.server.take()["params"]["requestId"] == call["id"]


def test_when_there_are_as_many_sessions_as_may_be_the_one_silent_for_longest_makes_room(http):
    http.router.sessions._most = 3
    sessions = [http.initialize() for _ in range(3)]
    for session, seconds in zip(sessions, (60, 70, 50)):
        session.last_used -= seconds
    new = http.router.open("test")  # whatever the transport
    assert [http.is_there(session) for session in sessions] == [True, False, True]
    assert http.is_there(new)


def test_sessions_in_use_make_no_room(http):
    http.router.sessions._most = 4
    listening, calling, young, ending_with_its_stream = (
        *(http.initialize() for _ in range(3)), http.router.open("test"))
    stream, post = http.listen(listening), http.call(calling)
    for session in listening, calling:
        session.last_used -= 60
    with pytest.raises(UsedUp, match="--max-sessions"):
        http.router.open("test")
    post.breaks()  # its call goes on
    calling.last_used -= 60
    with pytest.raises(UsedUp):
        http.router.open("test")
    stream.close()
    listening.last_used -= 60
    http.router.open("test")
    assert not http.is_there(listening)
    assert http.is_there(calling) and http.is_there(young)
    assert http.is_there(ending_with_its_stream)


def test_a_session_ends_when_its_own_stream_was_closed_for_being_too_far_behind(
        http, monkeypatch):
    """Without it the session could be told nothing any more. So the client begins anew."""
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_MESSAGES", 8)
    session = http.initialize()
    stream = http.listen(session)
    for _ in range(20):
        session.send({"method": "n"})
    stream.close()  # this is what `disconnect` leads to
    assert http.post({"id": 2, "method": "ping"}, session).answers[0].status.startswith("404")


def asked(http, session):
    """The question that a server asks on behalf of its only call: on which stream is it?"""
    server = http.world.own("a", types.SimpleNamespace(session=session))
    server.says(id="q", method="roots/list")
    return "own" if session.outbox.last else "of its call"


CAN_BE_ASKED = {**HELLO, "params": {**HELLO["params"], "capabilities": {"roots": {}}}}
EARLIER = {**CAN_BE_ASKED, "params": {**CAN_BE_ASKED["params"], "protocolVersion": "2025-06-18"}}


def test_a_question_goes_to_the_sessions_own_stream_if_the_post_of_its_call_has_broken(http):
    session = http.initialize(CAN_BE_ASKED)
    http.call(session).breaks()
    assert asked(http, session) == "own"


@pytest.mark.parametrize("hello, stream", [(CAN_BE_ASKED, "of its call"), (EARLIER, "own")])
def test_a_question_waits_on_a_broken_stream_if_its_client_knows_how_to_resume_it(
        http, hello, stream):
    """Clients before 2025-11-25 do not, until they have got a message."""
    session = http.initialize(hello)
    http.become_stream(http.call(session)).close()
    assert asked(http, session) == stream


def test_a_question_of_one_of_several_calls_goes_to_the_latest_if_the_client_has_no_stream(http):
    session = http.initialize(CAN_BE_ASKED)
    posts = [http.call(session, id) for id in (1, 2, 3)]
    posts[2].breaks()
    streams = list(session.streams.values())
    assert asked(http, session) == "of its call"
    assert [stream.last for stream in streams] == [0, 1]


def test_a_question_of_one_of_several_calls_goes_to_the_sessions_own_stream_if_that_is_read(http):
    session = http.initialize(CAN_BE_ASKED)
    http.listen(session)
    http.call(session, 1), http.call(session, 2)
    assert asked(http, session) == "own"


@pytest.fixture
def no_collector():
    """Cycles of references stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_ended_session_and_its_streams_are_freed_at_once(http, no_collector):
    session = http.initialize()
    own = http.listen(session)
    http.call(session)
    http.answer()
    complete = http.become_stream(http.call(session))
    http.answer()
    complete.close()
    http.call(session, id=2).breaks()
    broken = http.become_stream(http.call(session, id=3))
    broken.close()
    at_its_end = http.become_stream(http.call(session, id=4))
    kept = [weakref.ref(one) for one in (session, session.outbox, *session.streams.values())]
    http.router.leave(session)
    own.close()
    at_its_end.close()
    del session, own, complete, broken, at_its_end
    assert len(kept) == 5 and [one() for one in kept] == [None] * 5


def test_an_ended_session_by_http_and_sse_is_freed_at_once(http, no_collector):
    app = flask.Flask("test")
    app.register_blueprint(HttpSse(http.router, http.world.clock, Streams(), HEARTBEAT).views())
    stream = app.test_client().get("/sse", environ_overrides=Connection().environ())
    kept = weakref.ref(http.router.sessions.all()[0])
    stream.close()
    del stream
    assert kept() is None


def test_what_waits_for_a_client_to_be_initialized_does_not_keep_its_session(http, no_collector):
    session = http.router.open("test")
    call = session.calls.open({"id": 1, "method": "tools/call"}, session.outbox)
    session.when_ready(call.send, {"method": "n"})
    kept = weakref.ref(session)
    http.router.leave(session)
    del session, call
    assert kept() is None


def test_what_is_kept_of_finished_streams_is_bounded_in_bytes(http, monkeypatch):
    """But the newest is kept whatever its size: its client may just be resuming it."""
    monkeypatch.setattr(streamable, "KEPT_STREAMS_BYTES", 10_000)
    session = http.initialize()
    for id in range(1, 5):
        response = http.become_stream(http.call(session, id))
        http.answer(text="x" * 4000)
        response.close()
    assert len(session.streams) == 2
    for id in (5, 6):
        http.become_stream(http.call(session, id)).close()  # nobody reads when it is answered
        http.answer(text="x" * 40_000)
        assert len(session.streams) == 1
