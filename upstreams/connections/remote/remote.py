"""A server that is reached by URL: the connection that carries an Upstream's messages over HTTP.

Each message is a POST of its own; what the server answers comes as JSON or as a stream of events.
What a legacy server says of its own accord comes on one more stream (server_stream.py). The
Upstream above does not notice the difference to a process.

    NAME-post-N    sends one request, reads its answer to the end; as many as requests wait
    NAME-notes     sends notifications and responses, one after the other; ends the session last
    NAME-stream    reads what a legacy server says of its own accord

on_message is called by whichever of them has read something, one at a time: that is the `turn`.
No thread takes it while it holds a lock or the turn itself, and on_message does not wait; so it
needs no queue and no further thread, and a server that says too much is read more slowly.

What is refused with an HTTP error is answered with a JSON-RPC error under the request's id, and
concerns nobody else. The connection ends only if nothing can come of it any more: it could not be
opened, or the server has forgotten the session.
"""

import functools
import logging
import math
import threading
import time

from transports.fabric.messages import (RESPONSE, SERVER_UNAVAILABLE, InvalidMessage, decode,
                                        error, is_id, kind_of)
from transports.fabric.peers import StartFailed

from .exchange import Exchange, Sockets
from .headers import ConfigHeaders, MessageHeaders
from .http_errors import FORGOTTEN
from .post_threads import PostThreads, ended
from .posts import Post
from .server_socket import HttpFailed, Origin
from .server_stream import ServerStream

log = logging.getLogger("router")

MOST_POSTS = 100        # requests that wait for this server at the same time; further ones queue
DELETE_SECONDS = 2.0    # to end the session


class Remote:
    """One life of one remote server. `start` it once; `send` and `close` from any thread."""

    def __init__(self, entry, label, _clock, longest=64 * 2**20):
        self.entry, self.label, self.pid = entry, label, None
        self.longest = longest      # bytes of one message
        self.message_headers = MessageHeaders(entry.name)
        self.ready = threading.Event()      # requests wait while the server is not ready for them
        self.closing = threading.Event()
        self.post_target = None     # where messages are posted
        self._stream_thread = None
        self._threads = []
        self._opened = False        # whether any request was answered with a result
        self._turn = threading.Lock()       # see above
        self._lock = threading.Lock()
        # protected by _lock:
        self._posts = {}            # id → Post, for each request without an answer
        self._reported = self._closed = False

    def start(self, on_message, on_closed):
        """Start its first threads. Raises StartFailed.

        on_closed(reason, pause) is called once, by any thread of this connection. `pause`: the
        seconds after which another start makes sense, 0 if the server only forgot the session,
        math.inf if a start makes no sense as things are, None if that is not known.
        """
        self._on_message, self._on_closed = on_message, on_closed
        entry = self.entry
        try:
            self.origin = Origin(entry.url, entry.ca, entry.certificate, entry.key)
        except ValueError as problem:
            raise StartFailed(str(problem)) from None
        self.post_target = self.origin.target
        self.config_headers = ConfigHeaders(entry)
        self.sockets = Sockets(self.origin)
        self.stream = ServerStream(self)
        self._requests = PostThreads(f"{self.label}-post", MOST_POSTS)
        self._notes = PostThreads(f"{self.label}-notes", 1)
        self.ready.set()
        self._threads = [self._requests, self._notes]
        try:
            for threads in self._threads:
                threads.start()
            if entry.type == "sse":
                self.ready.clear()
                self.start_stream(self.stream.run_old)
        except RuntimeError as problem:
            self._requests.close()
            self._notes.close()
            raise StartFailed(f"its threads could not be started: {problem}") from None

    # -- called by any thread

    def send(self, message):
        if message.get("method") == "notifications/cancelled" and self._cancelled(message):
            return
        post = Post(message, self)
        if post.id is None:
            if post.method == "notifications/initialized":
                self.ready.clear()  # requests wait until it was accepted: a POST may overtake
            sent = self._notes.put(post.send_note)
        else:
            with self._lock:
                self._posts[post.id] = post
            sent = self._requests.put(post.send_request)
        if not sent:
            self.end("too many messages wait for it")

    def close(self):
        """Begin to end it: nothing that waits goes on, then the session is deleted."""
        with self._lock:
            if self._closed or not self._threads:
                return
            self._closed = True
        self.closing.set()
        self.ready.set()
        self.config_headers.stop()
        self.sockets.close()
        self._requests.close()
        self._notes.put(self._end_session)
        self._notes.close()

    def join(self, seconds):
        deadline = time.monotonic() + seconds
        return all([*(threads.join(deadline) for threads in self._threads),
                    not self._stream_thread or ended(self._stream_thread, deadline)])

    def last_lines(self):
        return []

    # -- for the streams: called by the threads of this connection

    def start_stream(self, run):
        """Start NAME-stream, once. Raises RuntimeError if the system has no thread left."""
        thread = threading.Thread(target=run, name=f"{self.label}-stream", daemon=True)
        thread.start()
        self._stream_thread = thread    # not before: `join` may come at any time

    def ask(self, exchange, method, target, head, body=b"", **more):
        """Ask with all headers that the config wants; once more if the server refuses them and a
        command can make others. Returns the status. Raises HttpFailed."""
        try:
            lines = self.config_headers.lines()
            status = exchange.ask(method, target, lines + head, body, **more)
            if status == 401 and self.entry.headers_command:
                exchange.end()
                status = exchange.ask(method, target, self.config_headers.lines(lines) + head,
                                      body, **more)
        except StartFailed as problem:
            raise HttpFailed(f"could not be asked: {problem}") from None
        return status

    def take_in(self, data, post=None, headers=None):
        """Pass on what the server said: the bytes of one message, or of a batch. `post`: the
        request that it is said for, which fails if that cannot be passed on."""
        try:
            if data is None:
                raise InvalidMessage(0, f"longer than {self.longest} bytes")
            messages = decode(data)
            for message in messages if isinstance(messages, list) else [messages]:
                self._take_in(message, post, headers or {})
        except (InvalidMessage, ValueError) as problem:
            if post:    # at once: a stream that is resumed does not bring it again
                self.fail(post, f"sent an answer that cannot be passed on: {problem}")
            else:
                log.warning("%s: skipped what the server said: %s", self.label, problem)

    def _take_in(self, message, post, headers):
        if kind_of(message) is RESPONSE:
            with self._lock:
                answered = self._posts.get(message["id"])
            if answered:
                message = self.message_headers.learn(answered.message, message, headers)
                self._opened = self._opened or "result" in message
                answered.over = True
            with self._lock:
                self._posts.pop(message["id"], None)
        self._pass_on(message)

    def _pass_on(self, message):
        with self._turn:
            try:
                self._on_message(message)
            except InvalidMessage as problem:
                log.warning("%s: skipped what the server said: %s", self.label, problem)
            except Exception:  # a bug of ours in one message must not end all that follow
                log.exception("%s: one message was lost", self.label)

    def end(self, reason, pause=None):
        """Nothing can come of this connection any more."""
        self._report(reason, pause)
        self.close()

    def _report(self, reason, pause=None):
        with self._lock:
            if self._reported:
                return
            self._reported = True
            self._posts.clear()     # the Upstream answers them all
        try:
            self._on_closed(self.redact(reason), pause)
        except Exception:  # a bug of ours must not keep the threads alive
            log.exception("%s: its end was lost", self.label)

    def redact(self, text):
        return self.config_headers.redact(text)

    def is_refused(self, problem, post=None):
        """The server answered with this Problem. If nothing can come of the connection because
        of it, the connection ends."""
        if problem.kind is FORGOTTEN:
            self.end("the server has forgotten our session", 0)
        elif not self._opened and problem.status in (401, 403):
            self.end(f"needs authorization: {problem.text}", math.inf)
        elif not self._opened and problem.pause is not None:
            self.end(problem.text, problem.pause)
        elif post:
            self.fail(post, problem.text, problem.body)

    def is_unreachable(self, problem, post):
        """There is no connection for this request."""
        if self._opened:
            self.fail(post, f"cannot be reached: {problem}")
        else:
            self.end(f"cannot be reached: {problem}")

    def becomes_old(self, problem):
        """Whether the server speaks HTTP+SSE of 2024-11-05 (2025-11-25, Transports, Backwards
        Compatibility), since it answered `initialize` with this Problem. Waits until that is
        known."""
        if self.entry.type is not None or self.stream.is_old or not problem.may_be_old:
            return False
        self.ready.clear()
        self.start_stream(functools.partial(self.stream.run_old, may_fail=True))
        self.ready.wait()
        return self.stream.is_old

    def note_sent(self, post):
        """A notification or a response was sent, or could not be."""
        if post.method == "notifications/initialized":
            if not self.stream.is_old and not self.closing.is_set():
                try:
                    self.start_stream(self.stream.run)
                except RuntimeError:
                    log.error("%s: the system has no thread left to hear what it says by itself",
                              self.label)
            self.ready.set()
        elif post.method == "notifications/cancelled":
            self._take(_cancelled_id(post.message))

    def _take(self, id):
        """Nobody waits for this request any more: no error if it is gone."""
        with self._lock:
            post = self._posts.pop(id, None)
        if post:
            post.over = True
            post.exchange.abort()

    def fail(self, post, text, body=None):
        """Answer a request with an error: the server's own if it sent one, else ours."""
        with self._lock:
            waits = not self._closed and self._posts.get(post.id) is post
            if waits:   # else the Upstream answers it, or did so
                del self._posts[post.id]
        if waits:
            post.over = True
            text = f'server "{self.entry.name}" {self.redact(text)}'
            self._pass_on({**body, "id": post.id} if body
                          else error(post.id, SERVER_UNAVAILABLE, text))

    def _cancelled(self, message):
        """A request of ours is not wanted any more. Returns whether the server needs no message
        about that: closing the stream tells it (2026-07-28, Streamable HTTP, Cancellation)."""
        id = _cancelled_id(message)
        with self._lock:
            post = self._posts.get(id)
        is_modern = post.is_modern if post else not self.message_headers.version
        if is_modern:
            self._take(id)
        return is_modern

    # -- NAME-notes

    def _end_session(self):
        """The last that this connection does."""
        exchange = Exchange(self.sockets)
        try:
            if self.message_headers.session and not self._reported:
                self.ask(exchange, "DELETE", self.post_target, self.message_headers.lines(),
                         seconds=DELETE_SECONDS, at_the_end=True)
        except HttpFailed as problem:
            log.debug("%s: its session was not deleted: %s", self.label, self.redact(str(problem)))
        finally:
            exchange.end()
            self._report("was closed")


def _cancelled_id(message):
    """The id of the request that is cancelled; None if that is none."""
    params = message.get("params")
    id = params.get("requestId") if isinstance(params, dict) else None
    return id if is_id(id) else None
