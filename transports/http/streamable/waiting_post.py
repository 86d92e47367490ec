"""A POST whose answer is still to come. The first thing that its call brings decides about it:

    the answer, and nothing else    it is answered with that, as JSON, by the thread that brings it
    anything else, or silence       it becomes a stream of events, which a worker feeds
    its client hangs up             it is forgotten, but its call goes on

Until then it holds no thread. A connection that breaks is no cancellation (2025-11-25, Transports,
Sending Messages to the Server, item 6).
"""

import logging
import threading
import time

from transports.http.replies import JSON, Reply, used_up
from transports.http.workers import StreamsUsedUp

log = logging.getLogger("router")


class WaitingPost:
    """One POST, its session, and the ResumableStream to which its call sends."""

    def __init__(self, router, session, stream, connection, is_first, open_stream):
        """`is_first`: the POST is the `initialize` that the session began with.
        open_stream(this) → the response that is a stream of events. Raises StreamsUsedUp."""
        self.session, self.stream = session, stream
        self._router, self._is_first, self._open_stream = router, is_first, open_stream
        self.connection = connection
        self._since = time.monotonic()
        self._decided = threading.Lock()    # acquired once, by the thread that decides

    def wait(self):
        """Called once, when the message is under way: from now on one of the methods below may be
        called, by any thread; here already, if something has come."""
        self.session.streams[self.stream.number] = self.stream
        self.stream.post, self.stream.on_news = self, self.ready
        self.connection.when_gone(self.gone)
        if self.stream.has_news():  # it came before the lines above
            self.ready()

    def ready(self):
        """There is something to read, or the end of it, or somebody else reads it; or the client
        needs a sign of life."""
        if not self._decides():
            return
        answer = self.stream.sole_answer(self.connection)
        if answer is None:
            self.connection.become_stream(self)
            return
        self.session.streams.pop(self.stream.number, None)
        if self._is_first and self.session.version is None:  # initialize was refused
            self._router.leave(self.session)
            self._is_first = False
        self.connection.answer(Reply(answer, "200 OK", [JSON, *self.headers()]))

    def as_stream(self):
        """The response, for http/app.py. If there is no room for a stream, the client hears that;
        the call goes on."""
        try:
            return self._open_stream(self)
        except StreamsUsedUp as problem:
            self.gone()
            return used_up(problem)

    def _decides(self):
        """True for the first thread that calls it."""
        is_first = self._decided.acquire(blocking=False)
        if is_first:
            self.stream.post, self.stream.on_news = None, lambda: None
        return is_first

    def hurry(self, heartbeat):
        """Called by the clock: is it time for a sign of life, after so many seconds?"""
        if time.monotonic() - self._since >= heartbeat:
            self.ready()

    def gone(self):
        """The client has hung up. It has no number to resume the stream from, so nobody will ever
        ask for what comes now; nor for the session, if the POST is its first."""
        log.debug("%s: the client of a POST has hung up", self.session.name)
        self._decides()
        self.session.streams.pop(self.stream.number, None)
        self.session.last_used = time.monotonic()
        self.stream.release(self.connection)
        self.stream.close()
        if self._is_first:
            self._router.leave(self.session)

    def headers(self):
        """For its answer or stream: the session's id, if the client does not know it yet."""
        return [("Mcp-Session-Id", self.session.id)] if self._is_first else []
