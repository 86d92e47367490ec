"""The worker threads, and the streams of events that they feed: each for as long as it is open. So
that the next request has a worker, their number follows the number of streams."""

import functools
import itertools
import queue
import threading
import time

import flask

from transports.fabric.session import UsedUp
from transports.fabric.text import log

from .replies import STREAM_HEADERS

SPARE = 8


class Workers:
    """Threads that run what may wait. Any thread may call anything here."""

    def __init__(self, most_streams):
        self.most_streams, self.ended = most_streams, False
        self._tasks, self._numbers = queue.SimpleQueue(), itertools.count()
        self.do = self._tasks.put   # do(task): one of the threads calls task()
        self._count_lock = threading.Lock()
        # written under _count_lock:
        self.streams, self.threads = 0, set()
        self._count(0)

    def open_stream(self, connection, events, on_gone, on_end, headers=()):
        """A WSGI application. on_gone(): the client hangs up; on_end(): always. Raises UsedUp."""
        try:
            self._count(1)
        except UsedUp:
            on_end()
            raise
        response = flask.Response(events, headers=[*STREAM_HEADERS, *headers])
        # Not in a `finally` of the generator: one that was never begun runs none.
        response.call_on_close(functools.partial(self._count, -1))
        response.call_on_close(on_end)
        connection.when_gone(on_gone)
        return response

    def end(self):
        """Wait five seconds for the threads to end; what they have not begun is not done."""
        deadline = time.monotonic() + 5
        with self._count_lock:      # from then on none is started that nobody would end
            self.ended, threads = True, list(self.threads)
        for _ in threads:
            self.do(None)
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _count(self, change):
        with self._count_lock:
            streams = self.streams + change
            if streams > self.most_streams:
                raise UsedUp(f"{self.most_streams} streams are open already.")
            while len(self.threads) < streams + SPARE and not self.ended:
                thread = threading.Thread(target=self._work, name=f"worker-{next(self._numbers)}")
                thread.daemon = True
                try:
                    thread.start()
                except RuntimeError:
                    raise UsedUp("The system has no thread left for a stream.") from None
                self.threads.add(thread)
            self.streams = streams

    def _work(self):
        """Run by each thread. Not to start and end one for every stream, some more are spare."""
        is_wanted = True
        while is_wanted:
            task = self._tasks.get()
            try:
                if not self.ended:
                    task()
            except Exception:  # a bug of ours
                log.exception("a worker could not do its task")
            del task    # with all that it refers to
            with self._count_lock:
                is_wanted = not self.ended and len(self.threads) <= self.streams + 4 * SPARE
                if not is_wanted:
                    self.threads.discard(threading.current_thread())
