"""transports/http/workers.py: the number of workers follows the number of streams."""

import threading

import flask
import pytest

from transports.http.workers import SPARE, StreamsUsedUp, Workers


class Connection:
    """What a ClientConnection is to `open_stream`."""

    on_disconnect = None

    def end_if_gone(self):
        pass

    def check(self):
        pass


@pytest.fixture
def workers():
    workers = Workers(1000)
    yield workers
    workers.end()
    assert not workers.threads


def open_stream(workers):
    connection = Connection()
    environ = {"waitress.client_disconnected": connection.check}
    with flask.Flask("test").test_request_context(environ_overrides=environ):
        return workers.open_stream([], None, lambda: None)


def threads(workers):
    return len(workers.threads) - workers.stop_count


def test_some_workers_are_always_spare_and_few_more(workers):
    assert threads(workers) == SPARE
    streams = []
    for change in 100 * [1] + 99 * [-1] + 30 * [1]:
        if change > 0:
            streams.append(open_stream(workers))
        else:
            streams.pop().close()
        assert workers.streams() == len(streams)
        assert SPARE <= threads(workers) - len(streams) <= 4 * SPARE


def test_where_the_system_has_no_thread_left_a_stream_is_refused_and_nothing_is_counted(
        workers, monkeypatch):
    for _ in range(SPARE):
        open_stream(workers)

    def start(thread):
        raise RuntimeError("can't start new thread")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        while threads(workers) >= workers.streams() + 1 + SPARE:
            open_stream(workers)
        before = threads(workers), workers.streams()
        for _ in range(3):
            with pytest.raises(StreamsUsedUp, match="no thread left"):
                open_stream(workers)
        assert (threads(workers), workers.streams()) == before
    open_stream(workers)
    assert threads(workers) > before[0]


def test_of_too_many_streams_the_last_is_refused(workers):
    workers.most_streams = 1
    stream = open_stream(workers)
    assert not workers.has_room()
    with pytest.raises(StreamsUsedUp, match="1 streams are open already"):
        open_stream(workers)
    stream.close()
    assert workers.has_room()
    open_stream(workers)


def test_a_stream_that_has_ended_is_told_once_and_its_connection_may_live_on(workers):
    connection, ended = Connection(), []
    environ = {"waitress.client_disconnected": connection.check}
    with flask.Flask("test").test_request_context(environ_overrides=environ):
        stream = workers.open_stream([], "gone", lambda: ended.append(True))
    assert connection.on_disconnect == "gone" and ended == []
    stream.close()
    assert connection.on_disconnect is None and ended == [True]
