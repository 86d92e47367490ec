"""transports/http/workers.py: the number of workers follows the number of streams."""

import queue
import sys
import threading
import time

import pytest

from transports.fabric.session import UsedUp
from transports.http.workers import SPARE, Workers

from processes import wait_until


class Connection:
    """What a ClientConnection is to `open_stream`."""

    def when_gone(self, call):
        self.gone = call


@pytest.fixture
def workers():
    workers = Workers(1000)
    yield workers
    workers.end()
    assert not workers.threads


def open_stream(workers):
    return workers.open_stream(Connection(), [], None, lambda: None)


def feed(workers, streams):
    """A task: open a stream, and feed it until it is told to end."""
    opened, end = threading.Event(), threading.Event()

    def task():
        stream = open_stream(workers)
        opened.set()
        end.wait()
        stream.close()
    workers.do(task)
    assert opened.wait(60)
    streams.append(end)


def test_some_workers_are_always_spare_and_few_more(workers):
    assert len(workers.threads) == SPARE
    streams = []
    for change in 100 * [1] + 99 * [-1] + 30 * [1]:
        if change > 0:
            feed(workers, streams)
        else:
            streams.pop().set()
        assert wait_until(lambda: workers.streams == len(streams) and
                          SPARE <= len(workers.threads) - len(streams) <= 4 * SPARE)
    for end in streams:
        end.set()


def test_a_task_that_fails_takes_no_worker_with_it(workers, caplog):
    for _ in range(2 * SPARE):
        workers.do(lambda: 1 / 0)
    done = queue.SimpleQueue()
    workers.do(lambda: done.put(True))
    assert done.get(timeout=60)
    assert wait_until(lambda: caplog.text.count("ZeroDivisionError: ") == 2 * SPARE)


def test_where_the_system_has_no_thread_left_a_stream_is_refused_and_nothing_is_counted(
        workers, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")
    before, ended = workers.threads.copy(), []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for _ in range(3):
            with pytest.raises(UsedUp, match="no thread left"):
                workers.open_stream(Connection(), [], None, lambda: ended.append(True))
        assert (workers.threads, workers.streams, len(ended)) == (before, 0, 3)
    open_stream(workers)
    assert len(workers.threads) > len(before)


def test_of_too_many_streams_the_last_is_refused(workers):
    workers.most_streams = 1
    stream = open_stream(workers)
    with pytest.raises(UsedUp, match="1 streams are open already"):
        open_stream(workers)
    stream.close()
    open_stream(workers)


def test_a_stream_that_has_ended_is_told_once(workers):
    connection, ended = Connection(), []
    stream = workers.open_stream(connection, [], "gone", lambda: ended.append(True))
    assert connection.gone == "gone" and ended == []
    stream.close()
    assert ended == [True]


def test_what_is_not_begun_in_the_end_is_not_done(workers):
    begun, go_on, done = queue.SimpleQueue(), threading.Event(), []

    def task():
        begun.put(True)
        go_on.wait()
    for _ in range(SPARE):
        workers.do(task)
    for _ in range(SPARE):
        begun.get(timeout=60)
    workers.do(lambda: done.append(True))
    ending = threading.Thread(target=workers.end)
    ending.start()
    assert wait_until(lambda: workers.ended)
    go_on.set()
    ending.join()
    assert done == []


def test_the_end_does_not_wait_for_threads_that_streams_have_started_meanwhile():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            assert seconds_of_an_end_while_streams_open() < 4
    finally:
        sys.setswitchinterval(before)


def seconds_of_an_end_while_streams_open():
    workers, begun = Workers(1000), threading.Event()

    def open_streams():
        while not workers.ended:
            open_stream(workers)
            begun.set()
    thread = threading.Thread(target=open_streams)
    thread.start()
    assert begun.wait(10)
    began = time.monotonic()
    workers.end()
    took = time.monotonic() - began
    thread.join()
    return took
