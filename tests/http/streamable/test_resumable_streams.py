"""transports/http/streamable/resumable_stream.py: streams that break and are resumed."""

import json

import pytest

from transports.fabric import outbox as outbox_module
from transports.fabric.outbox import CLOSE
from transports.http.streamable import resumable_stream
from transports.http.streamable.resumable_stream import ResumableStream

NOTE = {"method": "n"}
ANSWER = {"id": 1, "result": {}}


class Reader:
    """What a ClientConnection is to a stream."""

    disconnected = False

    def disconnect(self):
        self.disconnected = True


READER, ANOTHER = Reader(), Reader()


@pytest.fixture
def stream():
    stream = ResumableStream("x", 3, answers=1)
    stream.take_over(READER)
    return stream


def read(stream, after=0, reader=READER):
    found = stream.read(after, reader, 0)
    return found if found is CLOSE else [(number, json.loads(data)) for number, data in found]


def test_messages_are_numbered_and_the_last_answer_completes_a_call(stream):
    stream.send(NOTE)
    assert read(stream) == [(1, NOTE)] and not stream.is_complete()
    stream.send(ANSWER)
    stream.send(NOTE)
    assert read(stream, 1) == [(2, ANSWER)] and stream.is_complete()
    assert read(stream, 2) is CLOSE


def test_a_stream_is_read_again_from_any_number_by_a_reader_that_takes_it_over(stream):
    for _ in range(3):
        stream.send(NOTE)
    assert len(read(stream)) == 3
    stream.take_over(ANOTHER)
    assert read(stream) is CLOSE  # the old reader has lost it
    assert [number for number, _ in read(stream, 1, ANOTHER)] == [2, 3]
    stream.release(READER)  # too late to matter
    assert stream.reader == ANOTHER


def test_without_a_reader_the_oldest_messages_are_forgotten_never_the_answer(monkeypatch):
    monkeypatch.setattr(resumable_stream, "KEPT_MESSAGES", 3)
    stream = ResumableStream("x", 3, answers=1)
    for _ in range(10):
        stream.send(NOTE)
    stream.send(ANSWER)
    stream.take_over(READER)
    assert [number for number, _ in read(stream)] == [9, 10, 11]


def test_bytes_count_too_but_the_newest_message_may_have_any_size(monkeypatch):
    monkeypatch.setattr(resumable_stream, "KEPT_BYTES", 100)
    stream = ResumableStream("x", 0)
    stream.send({"method": "n", "params": {"x": "x" * 1000}})
    stream.send({"method": "n", "params": {"x": "y" * 1000}})
    stream.take_over(READER)
    assert [number for number, _ in read(stream)] == [2]


def test_nothing_is_forgotten_before_it_is_read_but_a_slow_reader_is_disconnected(monkeypatch):
    monkeypatch.setattr(resumable_stream, "KEPT_MESSAGES", 3)
    monkeypatch.setattr(outbox_module, "MAX_BEHIND_MESSAGES", 8)
    stream, reader = ResumableStream("x", 0), Reader()
    stream.take_over(reader)
    for _ in range(8):
        stream.send(NOTE)
    assert len(read(stream, 0, reader)) == 8 and not reader.disconnected
    for _ in range(9):
        stream.send(NOTE)
    assert reader.disconnected
    assert len(read(stream, 8, reader)) == 9  # what was queued still goes out
    assert read(stream, 17, reader) is CLOSE
