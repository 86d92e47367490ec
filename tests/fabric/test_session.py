"""transports/fabric/session.py: gates, and what a session does with them."""

import pytest

from transports.fabric import outbox as outbox_module
from transports.fabric.pending import Call
from transports.fabric.session import Gate, Session, UsedUp
from transports.program.options import Limits
from upstreams.routing.router import Router

from world import World, offers

BIG = {"text": "x" * 1000}


def test_a_gate_keeps_the_order_also_of_what_comes_while_it_opens():
    gate, done = Gate(), []

    def first():
        done.append(1)
        gate.do(done.append, 3)
    gate.do(first)
    gate.do(done.append, 2)
    assert done == []
    gate.open()
    gate.do(done.append, 4)
    assert done == [1, 2, 3, 4]


def test_a_gate_that_is_opened_while_it_opens_lets_nothing_overtake():
    gate, done = Gate(), []

    def first():
        gate.open()  # another thread does, just now
        gate.do(done.append, 3)
        done.append(1)
    gate.do(first)
    gate.do(done.append, 2)
    gate.open()
    assert done == [1, 2, 3]


def test_a_gate_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_BYTES", 2500)
    gate, done = Gate(), []
    assert [gate.do(done.append, BIG) for _ in range(4)] == [True, True, True, False]
    gate.open()
    assert gate.do(done.append, BIG)
    assert done == [BIG] * 4


def test_more_requests_than_may_wait_for_initialize_are_answered_with_an_error(monkeypatch):
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_BYTES", 2500)
    world = World(a=offers(slow=True))
    client = world.new_client()
    client.sends(id=0, method="initialize", params={"protocolVersion": "2025-11-25"})
    for id in range(1, 5):
        client.asks("tools/call", id=id, name="a__t", arguments=BIG)
    assert client.get()["id"] == 4
    world["a"].answer_initialize()
    assert sorted(message["id"] for message in client.gets()) == [0]
    assert [message["params"]["arguments"] for message in world["a"].takes()] == [BIG] * 3


def test_a_client_that_never_says_that_it_is_initialized_is_told_things_all_the_same(monkeypatch):
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_BYTES", 2500)
    session, read = Session(None, "test"), []
    session.outbox.write_at_once = lambda data: read.append(data) or True
    assert session.outbox.get(0) == []  # its feeder has begun
    for _ in range(4):
        session.send(BIG)
    assert len(read) == 4


class OneStream:
    """Counts the answers that it must not wait for any more."""

    def __init__(self):
        self.less, self.sent = 0, []

    def send(self, message):
        self.sent.append(message)

    def expect_one_less(self):
        self.less += 1


def test_a_cancel_that_races_the_answer_does_not_count_as_well(monkeypatch):
    session, stream = Session(None, "test"), OneStream()
    call = session.calls.open({"id": 1, "method": "tools/call"}, stream)
    cancel = Call.cancel

    def answered_just_before(call, reason):
        call.send({"id": 1, "result": {}})
        return cancel(call, reason)
    monkeypatch.setattr(Call, "cancel", answered_just_before)
    session.cancel_call(1, "enough")
    assert (len(stream.sent), stream.less) == (1, 0)
    assert call.ended


def test_a_bug_in_one_call_that_was_kept_does_not_stop_those_behind_it(caplog):
    gate, done = Gate(), []
    gate.do(lambda: 1 / 0)
    gate.do(done.append, 1)
    gate.open()
    assert done == [1] and "ZeroDivisionError" in caplog.text


def test_a_refusal_for_want_of_sessions_says_how_many_are_idle(caplog):
    world = World(a=offers(tools=["t"]))
    router = Router(world.pool, world.clock, Limits(sessions=2))
    calling, _ = router.open("test"), router.open("test")
    calling.calls.open({"id": 1, "method": "tools/call"}, calling.outbox)
    with pytest.raises(UsedUp):
        router.open("test")
    assert "1 of the 2 that --max-sessions allows have no call" in caplog.text
