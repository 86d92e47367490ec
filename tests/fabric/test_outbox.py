"""transports/outbox.py: who may write, in which order, and who is too far behind."""

import json
import logging
import os
import queue
import select
import threading

import pytest

from transports.fabric import outbox as outbox_module
from transports.fabric.messages import encode
from transports.fabric.outbox import CLOSE, Outbox, feed_pipe, pipe_writer


def drain(outbox):
    got = []
    while found := outbox.get(0):
        if found is CLOSE:
            return [*got, CLOSE]
        got += map(json.loads, found)
    return got


def test_an_outbox_keeps_the_order_and_ends_after_what_is_queued():
    outbox = Outbox("x")
    outbox.send({"n": 1})
    outbox.send({"n": 2})
    outbox.close()
    outbox.close()
    outbox.send({"n": 3})
    assert drain(outbox) == [{"n": 1}, {"n": 2}, CLOSE]


def test_who_is_too_many_messages_behind_is_closed_and_told_to_the_log(monkeypatch, caplog):
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_MESSAGES", 3)
    closed = []
    outbox = Outbox("the slow one", on_behind=lambda: closed.append(True))
    with caplog.at_level(logging.WARNING, "router"):
        for n in range(6):
            outbox.send({"n": n})
    assert drain(outbox) == [{"n": 0}, {"n": 1}, {"n": 2}, CLOSE]
    assert closed == [True]
    assert "the slow one: closed, because it is 3 messages" in caplog.text


def test_bytes_count_too_but_a_single_message_may_have_any_size(monkeypatch):
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_BYTES", 100)
    outbox = Outbox("x")
    outbox.send({"text": "x" * 1000})
    outbox.send({"n": 2})
    assert len(drain(outbox)) == 2  # the large one, and CLOSE
    outbox = Outbox("x")
    for _ in range(50):
        outbox.send({"text": "x" * 50})
        assert len(drain(outbox)) == 1  # who keeps up is never closed


def test_the_feeder_gets_what_waits_in_batches_of_a_bounded_size(monkeypatch):
    monkeypatch.setattr(outbox_module, "BATCH_BYTES", 20)
    outbox = Outbox("x")
    for n in range(5):
        outbox.send({"n": n})  # 7 bytes each
    assert [len(outbox.get(0)) for _ in range(2)] == [3, 2]
    assert outbox.get(0) == []


class Way:
    """What a sender can write to at once; shut, it takes nothing."""

    def __init__(self):
        self.written, self.shut = [], False

    def __call__(self, data):
        if not self.shut:
            self.written.append(json.loads(data)["n"])
        return not self.shut


@pytest.fixture
def fed():
    """An outbox whose feeder has written all there was; (the outbox, the way)."""
    outbox = Outbox("x")
    outbox.write_at_once = Way()
    outbox.send({"n": 0})
    assert drain(outbox) == [{"n": 0}]
    return outbox, outbox.write_at_once


def test_a_sender_writes_the_message_itself_where_nothing_is_in_its_way(fed):
    outbox, way = fed
    outbox.send({"n": 1})
    outbox.send({"n": 2})
    assert way.written == [1, 2] and outbox.get(0) == []


def test_before_the_feeder_has_begun_nobody_else_writes():
    outbox = Outbox("x")
    outbox.write_at_once = Way()
    outbox.send({"n": 1})
    assert outbox.write_at_once.written == [] and drain(outbox) == [{"n": 1}]


def test_what_cannot_be_written_at_once_is_the_feeders_and_nothing_overtakes_it(fed):
    outbox, way = fed
    way.shut = True
    outbox.send({"n": 1})
    way.shut = False
    outbox.send({"n": 2})  # the way is free again, but 1 waits
    assert way.written == [] and [json.loads(data)["n"] for data in outbox.get(0)] == [1, 2]
    outbox.send({"n": 3})  # the feeder may be writing still
    assert way.written == [] and drain(outbox) == [{"n": 3}]
    outbox.send({"n": 4})
    assert way.written == [4]


def test_what_comes_while_a_sender_writes_goes_out_after_it(fed):
    outbox, _ = fed
    written = []

    def slow(data):
        if not written:
            outbox.send({"n": 2})  # another thread does, just now
        written.append(json.loads(data)["n"])
        return True
    outbox.write_at_once = slow
    outbox.send({"n": 1})
    assert written == [1] and drain(outbox) == [{"n": 2}]


@pytest.mark.parametrize("when", ["free", "a sender writes", "the feeder writes"])
def test_whoever_has_the_pen_the_feeder_learns_of_the_end(fed, when):
    outbox, way = fed
    if when == "free":
        outbox.close()
    elif when == "a sender writes":
        outbox.write_at_once = lambda data: outbox.close() or way(data)
        outbox.send({"n": 1})
        assert way.written == [1]
    else:
        way.shut = True
        outbox.send({"n": 1})
        assert len(outbox.get(0)) == 1
        outbox.close()
    assert drain(outbox) == [CLOSE] and drain(outbox) == [CLOSE]


def test_many_senders_and_a_feeder_lose_nothing_and_keep_the_order_of_each():
    read_end, write_end = os.pipe()
    outbox = Outbox("x")
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "wb") as writer:
        def feed():
            feed_pipe(outbox, writer)
            writer.close()

        def say(who):
            for n in range(2000):
                outbox.put(encode([who, n, "x" * (n % 7 * 1000)]))
        threads = [threading.Thread(target=say, args=(who,)) for who in range(4)]
        feeder = threading.Thread(target=feed)
        said = queue.SimpleQueue()
        listener = threading.Thread(target=lambda: [said.put(line) for line in reader])
        for thread in (*threads, feeder, listener):
            thread.start()
        for thread in threads:
            thread.join()
        outbox.close()
        feeder.join()
        listener.join()
    heard = [json.loads(said.get()) for _ in range(said.qsize())]
    assert len(heard) == 8000
    for who in range(4):
        assert [n for one, n, _ in heard if one == who] == list(range(2000))


def test_a_pipe_takes_at_once_what_is_short_while_it_has_room_and_never_blocks():
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as writer:
        write_at_once = pipe_writer(writer)
        assert not write_at_once(b"x" * select.PIPE_BUF)
        taken = 0
        while write_at_once(b"y" * 1000):
            taken += 1
            assert taken < 10_000
        assert taken > 10
        os.read(read_end, 2**16)
        assert write_at_once(b"z")
        os.close(read_end)
        assert not write_at_once(b"nobody reads any more")


def test_a_file_or_a_terminal_is_left_to_its_thread(tmp_path):
    with open(tmp_path / "log", "wb") as file:
        assert not pipe_writer(file)(b"x")


def test_a_bug_in_the_writing_of_a_sender_closes_it_and_its_feeder_ends(caplog):
    told = []
    outbox = Outbox("x", on_behind=lambda: told.append(True))
    drain(outbox)
    outbox.write_at_once = json.loads   # fails
    outbox.put(b"no JSON")
    assert told == [True] and "could not be written" in caplog.text
    outbox.send({"n": 1})
    assert drain(outbox) == [CLOSE]
