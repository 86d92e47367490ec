"""transports/http/stream_threads.py: the number of workers follows the number of streams."""

import threading

import pytest

from transports.http.engine.workers import Workers
from transports.http.stream_threads import SPARE_THREADS, StreamsUsedUp, StreamThreads


class Connection:
    on_disconnect = None
    has_hung_up = staticmethod(lambda: False)


@pytest.fixture
def stream_threads():
    stream_threads = StreamThreads(1000)
    stream_threads.dispatcher = Workers()
    stream_threads.dispatcher.set_thread_count(SPARE_THREADS)
    yield stream_threads
    stream_threads.dispatcher.shutdown()
    assert not stream_threads.dispatcher.threads


def workers(stream_threads):
    dispatcher = stream_threads.dispatcher
    return len(dispatcher.threads) - dispatcher.stop_count


def test_some_workers_are_always_spare_and_few_more(stream_threads):
    for change in 100 * [1] + 99 * [-1] + 30 * [1]:
        if change > 0:
            stream_threads.open(Connection(), None)
        else:
            stream_threads.closed()
        spare = workers(stream_threads) - stream_threads.count()
        assert SPARE_THREADS <= spare <= 4 * SPARE_THREADS


def test_where_the_system_has_no_thread_left_a_stream_is_refused_and_nothing_is_counted(
        stream_threads, monkeypatch):
    for _ in range(SPARE_THREADS):
        stream_threads.open(Connection(), None)

    def start(thread):
        raise RuntimeError("can't start new thread")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        while workers(stream_threads) >= stream_threads.count() + 1 + SPARE_THREADS:
            stream_threads.open(Connection(), None)
        before = workers(stream_threads), stream_threads.count()
        for _ in range(3):
            with pytest.raises(StreamsUsedUp, match="no thread left"):
                stream_threads.open(Connection(), None)
        assert (workers(stream_threads), stream_threads.count()) == before
    stream_threads.open(Connection(), None)
    assert workers(stream_threads) > before[0]


def test_of_too_many_streams_the_last_is_refused(stream_threads):
    stream_threads.most = 1
    stream_threads.open(Connection(), None)
    assert not stream_threads.has_room()
    with pytest.raises(StreamsUsedUp, match="1 streams are open already"):
        stream_threads.open(Connection(), None)
    stream_threads.closed()
    stream_threads.open(Connection(), None)
