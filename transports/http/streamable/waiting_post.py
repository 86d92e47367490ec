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

from transports.http.engine.reply import Reply
from transports.http.replies import JSON

log = logging.getLogger("router")


class WaitingPosts:
    """The POSTs about which nothing is decided. Only the thread that takes one out decides."""

    def __init__(self, clock, heartbeat, workers):
        """`heartbeat`: seconds that a POST may wait in silence, if a stream may be opened then."""
        self._clock, self._heartbeat, self._workers = clock, heartbeat, workers
        self._lock = threading.Lock()
        self._posts = set()     # protected by _lock
        self._hurry()

    def add(self, post):
        with self._lock:
            self._posts.add(post)

    def take(self, post):
        """True for the first to do so."""
        with self._lock:
            is_first = post in self._posts
            self._posts.discard(post)
            return is_first

    def all(self):
        with self._lock:
            return list(self._posts)

    def _hurry(self):
        """Silence makes a stream of a POST, so that its client gets signs of life. Called by the
        clock."""
        self._clock.after(self._heartbeat / 3, self._hurry)
        for post in self.all():
            if time.monotonic() - post.since >= self._heartbeat and self._workers.has_room():
                post.ready()


class WaitingPost:
    """One POST, its session, and the ResumableStream to which its call sends."""

    def __init__(self, router, waiting_posts, session, stream, client_connection, is_first):
        """`is_first`: the POST is the `initialize` that the session began with."""
        self.session, self.stream = session, stream
        self.since = time.monotonic()
        self._router, self._waiting_posts = router, waiting_posts
        self._client_connection, self._is_first = client_connection, is_first

    def wait(self):
        """Called once, when the message is under way: from now on one of the methods below may be
        called, by any thread; here already, if something has come."""
        self.session.streams[self.stream.number] = self.stream
        self._waiting_posts.add(self)
        self._client_connection.on_disconnect = self.gone
        self.stream.on_news = self.ready
        if self.stream.has_news():  # it came before the line above
            self.ready()
        self._client_connection.end_if_gone()

    def ready(self):
        """There is something to read, or the end of it, or somebody else reads it."""
        if not self._waiting_posts.take(self):
            return
        self.stream.on_news = lambda: None
        answer = self.stream.sole_answer(self._client_connection)
        if answer is None:
            self._client_connection.become_stream(self)
            return
        self.session.streams.pop(self.stream.number, None)
        if self._is_first and self.session.version is None:  # initialize was refused
            self._router.leave(self.session)
            self._is_first = False
        self._client_connection.answer(Reply(answer, "200 OK", [JSON, *self.headers()]))

    def gone(self):
        """The client has hung up. It has no number to resume the stream from, so nobody will ever
        ask for what comes now; nor for the session, if the POST is its first."""
        log.debug("%s: the client of a POST has hung up", self.session.name)
        self._waiting_posts.take(self)
        self.session.streams.pop(self.stream.number, None)
        self.session.last_used = time.monotonic()
        self.stream.release(self._client_connection)
        self.stream.on_news = lambda: None
        self.stream.close()
        if self._is_first:
            self._router.leave(self.session)

    def headers(self):
        """For its answer or stream: the session's id, if the client does not know it yet."""
        return [("Mcp-Session-Id", self.session.id)] if self._is_first else []
