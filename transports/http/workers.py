"""The worker threads, and the streams of events that they feed.

A worker feeds a stream for as long as it is open. If all workers did, the next request would get
no answer. So their number follows the number of streams: some are always spare.
"""

import logging
import threading

import flask
from waitress.channel import ClientDisconnected
from waitress.task import ThreadedTaskDispatcher

from transports.http.engine.connection import LONG, client_connection_of

from .replies import STREAM_HEADERS, event

SPARE = 8


class StreamsUsedUp(Exception):
    """No further stream may be opened now; answered with 503."""


class Workers(ThreadedTaskDispatcher):
    """waitress's pool of threads, as many as the open streams need. Any thread."""

    # It warns whenever a request waits for a moment, which is no news.
    queue_logger = logging.getLogger("waitress.queue")
    queue_logger.setLevel("ERROR")

    def __init__(self, most_streams):
        super().__init__()
        self.most_streams = most_streams
        self._count_lock = threading.Lock()
        # protected by _count_lock:
        self._streams = 0
        self._wanted = 0        # threads; None: it has ended, and none is started or stopped
        self._have(SPARE)

    def open_stream(self, events, on_gone, on_end, headers=()):
        """The response to the request that this thread serves: a stream of what `events` yields.

        on_gone() is called if the client hangs up, and on_end() always, when the response has
        ended. Raises StreamsUsedUp, and calls neither then.
        """
        client_connection = client_connection_of(flask.request.environ)
        self._count(1)

        def ended():
            self._count(-1)
            client_connection.on_disconnect = None  # it may live on, for other requests
            on_end()

        response = EventResponse(events, client_connection, headers)
        # Not in a `finally` of the generator: one that was never begun runs none.
        response.call_on_close(ended)
        client_connection.on_disconnect = on_gone
        client_connection.end_if_gone()
        return response

    def streams(self):
        """How many are open."""
        with self._count_lock:
            return self._streams

    def has_room(self):
        """Whether another stream may be opened."""
        return self.streams() < self.most_streams

    def end(self):
        """Wait for the threads to end, for five seconds."""
        with self._count_lock:
            self._wanted = None
        self.shutdown(cancel_pending=False)

    def _count(self, change):
        with self._count_lock:
            streams = self._streams + change
            if streams > self.most_streams:
                raise StreamsUsedUp(f"{self.most_streams} streams are open already.")
            # In steps: starting and stopping a thread for every stream would cost more.
            if self._wanted is not None and not (
                    streams + SPARE <= self._wanted <= streams + 4 * SPARE):
                # With the lock held: else an older count may win. Nobody waits for a thread.
                self._have(streams + 2 * SPARE)
            self._streams = streams

    def _have(self, threads):
        try:
            self.set_thread_count(threads)
        except RuntimeError:
            raise StreamsUsedUp("The system has no thread left for a stream.") from None
        self._wanted = threads

    def start_new_thread(self, target, thread_no):
        """Called by set_thread_count, which has counted it already. Raises RuntimeError."""
        try:
            super().start_new_thread(target, thread_no)
        except RuntimeError:
            self.threads.discard(thread_no)
            raise


class EventResponse(flask.Response):
    """Its events come from a generator, or from any thread that has one to send."""

    def __init__(self, events, client_connection, headers):
        super().__init__(events, headers=[*STREAM_HEADERS, *headers])
        self._client_connection = client_connection

    def __call__(self, environ, start_response):
        def begin(*arguments):
            self._write = start_response(*arguments)
            return self._write
        return super().__call__(environ, begin)

    def write_at_once(self, data):
        """Write an event, if that needs no waiting. Any thread that holds the outbox's pen, once
        the generator has yielded something.

        False if it could wait, because the client has not read what was before or the event is
        long; or if the client has gone.
        """
        if self._client_connection.unsent or len(data) > LONG:
            return False
        try:
            self._write(event(data))
        except (ClientDisconnected, OSError):
            return False  # the worker that feeds the stream will meet the same
        return True
