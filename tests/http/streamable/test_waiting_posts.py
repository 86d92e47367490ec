"""transports/http/streamable/resumable_stream.py: what becomes of a POST.

The TCP connection is played here.
"""

import json

import pytest

from transports.fabric.outbox import CLOSE
from transports.http.streamable.streamable import StreamableHttp

from played_connection import HEARTBEAT, Connection, Streams, posted, request, waiting_posts
from streamable_by_hand import HELLO
from world import World, offers


@pytest.fixture
def world():
    world = World(a=offers(tools=["t"]))
    world.transport = StreamableHttp(world.router, world.clock, Streams(), HEARTBEAT)
    connection = Connection()
    assert posted(world.transport, request(HELLO), connection) is None
    (answer,) = connection.answers
    world.session = world.router.sessions.find(dict(answer.headers)["Mcp-Session-Id"])
    message = {"method": "notifications/initialized"}
    reply = posted(world.transport, request(message, world.session), Connection())
    assert reply.status == "202 Accepted"
    return world


@pytest.fixture
def call(world):
    """A POST that waits; `id` is what the server has to answer."""
    connection = Connection()
    message = {"id": 1, "method": "tools/call",
               "params": {"name": "a__t", "_meta": {"progressToken": 1}}}
    assert posted(world.transport, request(message, world.session), connection) is None
    connection.id = world["a"].take()["id"]
    assert connection.answers == connection.streams == []
    return connection


def progress(world, call):
    world["a"].says(method="notifications/progress",
                    params={"progressToken": call.id, "progress": 1})


def test_an_answer_that_comes_first_is_the_answer_to_the_post(world, call):
    world["a"].says(id=call.id, result={"x": 1})
    (answer,) = call.answers
    assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": 1, "result": {"x": 1}}
    assert call.streams == [] and world.session.streams == {}


def test_anything_before_the_answer_makes_a_stream_of_the_post(world, call):
    progress(world, call)
    world["a"].says(id=call.id, result={})
    (post,) = call.streams
    assert call.answers == [] and post.session is world.session
    assert [number for number, _ in post.stream.read(0, call, 0)] == [1, 2]
    assert post.stream.read(2, call, 0) is CLOSE


def test_silence_makes_a_stream_of_the_post_too(world, call):
    (post,) = waiting_posts(world.router)
    world.clock.advance(HEARTBEAT)
    assert call.streams == []
    post.since -= HEARTBEAT  # the post's own clock is the real one
    world.clock.advance(HEARTBEAT)
    assert call.streams == [post] and waiting_posts(world.router) == []
    world["a"].says(id=call.id, result={})
    assert call.answers == [] and call.streams == [post]


def test_a_post_goes_on_waiting_in_silence_if_no_stream_may_be_opened(world, call):
    world.transport._workers.most_streams = 0
    (post,) = waiting_posts(world.router)
    post.since -= HEARTBEAT
    world.clock.advance(HEARTBEAT)
    assert call.streams == []
    world["a"].says(id=call.id, result={})
    assert len(call.answers) == 1


def test_a_call_for_which_there_is_no_stream_gets_its_answer_alone(world, call):
    world.transport._workers.most_streams = 0
    progress(world, call)
    assert call.answers == call.streams == []
    world["a"].says(id=call.id, result={"x": 1})
    (answer,) = call.answers
    assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": 1, "result": {"x": 1}}
    assert call.streams == [] and world.session.streams == {}


def test_a_call_that_waited_for_a_stream_loses_nothing_when_there_is_one(world, call):
    world.transport._workers.most_streams = 0
    progress(world, call)
    world.transport._workers.most_streams = 10
    world["a"].says(id=call.id, result={})
    (post,) = call.streams
    assert [number for number, _ in post.stream.read(0, call, 0)] == [1, 2]


def test_a_question_never_waits_for_a_stream(world, call):
    """The server would wait for the answer: its client is told to come later."""
    world.transport._workers.most_streams = 0
    waiting_posts(world.router)[0].stream.send({"id": "q", "method": "roots/list"})
    assert len(call.streams) == 1


def test_of_a_post_whose_client_has_hung_up_nothing_is_kept(world, call):
    call.connected = False
    call.breaks()
    progress(world, call)
    world["a"].says(id=call.id, result={})
    assert call.answers == call.streams == []
    assert world.session.streams == {} and waiting_posts(world.router) == []
    assert len(world.session.calls) == 0


def test_a_client_that_hangs_up_on_initialize_leaves_no_session():
    world = World(a=offers(slow=True))
    transport = StreamableHttp(world.router, world.clock, Streams(), HEARTBEAT)
    connection = Connection()
    assert posted(transport, request(HELLO), connection) is None
    assert len(world.router.sessions.all()) == 1
    connection.breaks()
    assert world.router.sessions.all() == []
    world["a"].answer_initialize()
    assert connection.answers == connection.streams == []


def test_a_client_that_hangs_up_once_it_has_its_answer_keeps_its_session():
    world = World(a=offers())
    transport = StreamableHttp(world.router, world.clock, Streams(), HEARTBEAT)
    connection = Connection()
    connection.closes = True
    assert posted(transport, request(HELLO), connection) is None
    assert len(connection.answers) == len(world.router.sessions.all()) == 1


def test_a_message_that_is_no_answer_is_never_told_as_one(world, call):
    """The one message of a stream that was closed, but not by its answer."""
    (post,) = waiting_posts(world.router)
    post.stream.on_news = lambda: None  # the thread that brings progress is not that far yet
    progress(world, call)
    world.session.cancel_call(1, "not wanted")
    post.ready()
    assert call.answers == [] and call.streams == [post]


def test_a_client_that_vanishes_while_its_post_is_begun_has_gone_as_well(world):
    connection = Connection()
    connection.connected = False
    message = {"id": 1, "method": "tools/call", "params": {"name": "a__t"}}
    assert posted(world.transport, request(message, world.session), connection) is None
    world["a"].says(id=world["a"].take()["id"], result={})
    assert connection.answers == connection.streams == [] and world.session.streams == {}


def test_the_end_of_the_session_answers_what_waits(world, call):
    world.router.leave(world.session)
    (answer,) = call.answers
    assert json.loads(answer.body)["error"]["message"] == "the session has ended"


def test_a_post_that_another_connection_reads_on_ends(world, call):
    (stream,) = world.session.streams.values()
    stream.take_over(Connection())
    (post,) = call.streams
    assert post.stream is stream and stream.read(0, call, 0) is CLOSE


def test_a_name_that_a_reload_takes_away_at_that_moment_is_404(world, monkeypatch):
    monkeypatch.setattr(world.router, "open", lambda *_: world.router.surface("gone"))
    reply = posted(world.transport, request(HELLO), Connection())
    assert reply.status.startswith("404") and b"no server 'gone'" in reply.body
