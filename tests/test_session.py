"""transports/session.py: outboxes and gates."""

import json
import logging

from transports import session as session_module
from transports.session import CLOSE, Gate, Outbox


def drain(outbox):
    return [data if data is CLOSE else json.loads(data)
            for data in iter(lambda: outbox.get(0), None)]


def test_an_outbox_keeps_the_order_and_ends_after_what_is_queued():
    outbox = Outbox("x")
    outbox.send({"n": 1})
    outbox.send({"n": 2})
    outbox.close()
    outbox.close()
    outbox.send({"n": 3})
    assert drain(outbox) == [{"n": 1}, {"n": 2}, CLOSE]


def test_who_is_too_many_messages_behind_is_closed_and_told_to_the_log(monkeypatch, caplog):
    monkeypatch.setattr(session_module, "MAX_BEHIND_MESSAGES", 3)
    closed = []
    outbox = Outbox("the slow one", on_behind=lambda: closed.append(True))
    with caplog.at_level(logging.WARNING, "router"):
        for n in range(6):
            outbox.send({"n": n})
    assert drain(outbox) == [{"n": 0}, {"n": 1}, {"n": 2}, CLOSE]
    assert closed == [True]
    assert "the slow one: closed, because it is 3 messages" in caplog.text


def test_bytes_count_too_but_a_single_message_may_have_any_size(monkeypatch):
    monkeypatch.setattr(session_module, "MAX_BEHIND_BYTES", 100)
    outbox = Outbox("x")
    outbox.send({"text": "x" * 1000})
    outbox.send({"n": 2})
    assert len(drain(outbox)) == 2  # the large one, and CLOSE
    outbox = Outbox("x")
    for _ in range(50):
        outbox.send({"text": "x" * 50})
        assert len(drain(outbox)) == 1  # who keeps up is never closed


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
