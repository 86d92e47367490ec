"""A server that is reached by URL: the connection that carries an Upstream's messages over HTTP,
each in a POST of its own.

    NAME-post-N    sends one request, reads its answer to the end; as many as requests wait
    NAME-notes     sends notifications and responses, one after the other; ends the session last
    NAME-stream    reads what a legacy server says of its own accord

Whatever comes in place of an answer fails that request alone. The connection ends only if it
could not be opened, or the server has forgotten the session."""

import functools
import math
import threading
import time

from transports.fabric.messages import (RESPONSE, SERVER_UNAVAILABLE, InvalidMessage, decode, dig,
                                        encode, error, id_of_answer, kind_of)
from transports.fabric.outbox import too_far_behind
from transports.fabric.peers import StartFailed
from transports.fabric.pending import whole
from transports.fabric.text import log

from .config_headers import ConfigHeaders
from .connection import HttpFailed, Origin, Unreachable
from .message_headers import MessageHeaders
from .message_post import INITIALIZED, Doubt, MessagePost, id_among
from .problem import error_in, says_forgotten, shown
from .senders import Sender, Senders
from .server_stream import ServerStream
from .wire import Wire

MOST_REQUESTS = 500     # that wait for an answer of this server; more are refused
MOST_CALLS = 450        # of these, that are not such as lists, which the sessions of others need
DELETE_SECONDS = 2.0    # to end the session
FORGOTTEN = "the server has forgotten our session"


@functools.lru_cache(1000)
def _was_let_in(entry):
    """An Event for all lives of this server: whether it has ever answered with a result."""
    return threading.Event()


class Remote:
    """One life of one remote server. `start` it once; `send` and `close` from any thread."""

    skipped, unread = None, False   # HTTP has no place for what is no message

    def __init__(self, entry, label, clock, longest=64 * 2**20, login=None):
        self.entry, self.label, self.pid = entry, label, None
        self.longest, self._login = longest, login      # bytes of one message
        self.message_headers = MessageHeaders(entry.name)
        self.stream = ServerStream(self)
        self.ready = threading.Event()      # requests wait while the server is not ready for them
        self.ready.set()
        self.closing = threading.Event()
        self._ended = threading.Event()     # nobody needs it any more
        self._clock = clock
        self._started = False
        self._waits = False         # whether the next life makes no sense before a login
        self.opened = False         # whether any request was answered with a result
        self.refused_with = None    # the HTTP error that `initialize` was answered with
        # Held while on_message runs, which one thread at a time calls. No thread takes it that
        # holds a lock, and on_message does not wait.
        self._delivering = threading.Lock()
        self._lock = threading.Lock()
        # protected by _lock:
        self.posts = {}            # id → MessagePost, for each request without an answer
        self._doubt = Doubt(self, clock)
        self._behind = self._bytes = 0  # messages that may yet have to be sent, and their bytes
        self._reported = self._closed = False

    def start(self, on_message, on_closed):
        """Raises StartFailed. on_closed(reason, pause) is called once, by any thread of this
        connection. `pause`: seconds until another start makes sense: 0 if the server only forgot
        the session, math.inf if none makes sense as things are, None if that is not known."""
        self._on_message, self._on_closed, entry = on_message, on_closed, self.entry
        try:
            self.origin = Origin(entry.url, entry.ca, entry.certificate, entry.key)
        except ValueError as problem:
            raise StartFailed(str(problem)) from None
        self.post_target = self.origin.target   # where messages are posted
        self.config_headers = ConfigHeaders(entry, self._login)
        self.redact = self.config_headers.redact
        self._requests = Senders(f"{self.label}-post", self._wire, self._broken, MOST_REQUESTS)
        self._note_sender = Sender(f"{self.label}-notes", self._wire(), self._broken)
        self._stream_sender = None
        try:
            self._note_sender.start()
            self._started = True
            if entry.type == "sse":
                self.ready.clear()
                self.start_stream(self.stream.run_old)
        except RuntimeError as problem:
            self.close()
            raise StartFailed(f"its threads could not be started: {problem}") from None

    def _wire(self):
        return Wire(self.origin, self.config_headers, self._clock)

    # -- called by any thread

    def send(self, message):
        if not self._started:
            return  # the server has heard of nothing yet
        post = MessagePost(message, self)
        if post.cancels is not None and self._cancelled(post.cancels):
            return
        with self._lock:
            fits = not self._behind or not too_far_behind(self._behind,
                                                          self._bytes + len(post.body))
            self._behind += 1
            self._bytes += len(post.body)
            if post.id is not None:
                self.posts[post.id] = post
        if post.id is None and fits:
            if post.method == INITIALIZED:
                self.stream.announce()
            self._note_sender.put(post.send_note)
        elif post.id is None:
            self.end("too much waits to be sent to it")
        elif not fits or not self._requests.put(
                post.send_request, MOST_CALLS if post.is_call else MOST_REQUESTS):
            self.release(post)
            # In another thread: this one may be the one that runs on_message.
            self._clock.after(0, self.fail, post, "was not asked: too many requests wait for its "
                                                  "answers already")

    def release(self, post):
        """It need not be sent any more, or not again."""
        with self._lock:
            if post.body:
                self._behind -= 1
                self._bytes -= len(post.body)
                post.body = b""

    def close(self):
        """Nothing that waits goes on, then the session is deleted."""
        self._ended.set()
        self._close()

    def _close(self):
        with self._lock:
            if self._closed or not self._started:
                return
            self._closed = True
        self.closing.set()
        self.stream.hold_up_nobody()
        self.config_headers.stop()
        self._requests.close()
        for sender in self._senders():
            sender.wire.abort(sender.wire.user, "was closed")
        self._note_sender.put(self._end_session)
        if self._waits:
            self._note_sender.put(lambda _wire: self.config_headers.wait_for_login(self._ended))
        self._note_sender.put(None)

    def join(self, seconds):
        deadline = time.monotonic() + seconds
        # NAME-notes may just be starting NAME-stream: looked up until none is alive.
        while alive := [each.thread for each in self._senders() if each.thread.is_alive()]:
            if alive[0] is threading.current_thread() or time.monotonic() > deadline:
                return False
            alive[0].join(max(0, deadline - time.monotonic()))
        return True

    def last_lines(self):
        return []

    def _senders(self):
        return [*self._requests.all(), self._note_sender,
                *([self._stream_sender] if self._stream_sender else [])] if self._started else []

    # -- called by the threads of this connection

    def start_stream(self, run):
        """Start NAME-stream, once. Raises RuntimeError if the system has no thread left."""
        sender = Sender(f"{self.label}-stream", self._wire(), self._broken)
        for job in (run, None):
            sender.put(job)
        sender.start()
        self._stream_sender = sender    # not before: `join` may come at any time
        if self.closing.is_set():       # `close` has perhaps not seen it
            sender.wire.abort(sender.wire.user, "was closed")

    def _broken(self):
        """A bug of ours ends one of the threads: what it would have carried is lost."""
        self.end("was cut off by a bug in the router")

    def take_in(self, data, post=None, whole=True):
        """Pass on what the server said in these bytes; of what was too long they are the ends
        only. `post`: the request that it is said for."""
        try:
            if not whole:
                raise InvalidMessage(0, f"longer than {self.longest} bytes")
            found = decode(data)
            found = found if isinstance(found, list) else [found]
        except InvalidMessage as problem:
            self._skip(problem, data, id_of_answer(data), post)
            return
        for message in found:
            try:
                self._take_in(message, post)
            except (InvalidMessage, ValueError) as problem:
                # Of a batch this one alone, else all of it is read again for each of its members.
                spoilt = data if len(found) == 1 else encode(message)
                is_answer = dig(message, "method") is None or "error" in message
                self._skip(problem, spoilt, *(
                    (dig(message, "id"), post) if is_answer else (None, None)))
            if says_forgotten(message):
                self._doubt.find_out()

    def _take_in(self, message, post):
        answered = self.posts.get(id_among(self.posts, message))
        if answered:
            message = {**message, "id": answered.id}
        if kind_of(message) is RESPONSE:
            if answered:
                message = self.message_headers.learn(
                    answered, whole(message), post.headers if post else {})
                if "result" in message and not self.opened:
                    self.opened = True
                    _was_let_in(self.entry).set()
                with self._lock:
                    self.posts.pop(message["id"], None)
                answered.over = True
                if answered is not post and not self.stream.is_old:
                    answered.give_up()  # its own stream may be open for ever
        self._pass_on(message)

    def _skip(self, problem, data, id, post):
        """The request that this answers fails at once: a stream that is resumed does not bring it
        again."""
        status = f" (HTTP {post.wire.status})" if post else ""
        text = f"{problem}: {shown(data)}"
        with self._lock:
            post = post or self.posts.get(id if isinstance(id, (int, str)) else None)
        if post:
            self.fail(post, f"sent an answer that cannot be passed on{status}: {text}",
                      error_in(data))
        else:
            log.warning("%s: skipped what the server said: %s", self.label, self.redact(text))

    def _pass_on(self, message):
        if "method" not in message and self._doubt.asked(message["id"]):
            if says_forgotten(message):
                self.end(FORGOTTEN, 0)
            return
        with self._delivering:
            try:
                self._on_message(message)
            except InvalidMessage as problem:
                log.warning("%s: skipped what the server said: %s", self.label, problem)
            except Exception:  # a bug of ours in one message must not end all that follow
                log.exception("%s: one message was lost", self.label)

    def end(self, reason, pause=None):
        self._report(reason, pause)
        self._close()

    def _report(self, reason, pause=None):
        with self._lock:
            if self._reported:
                return
            self._reported = True
            self.posts.clear()     # the Upstream answers them all
        try:
            self._on_closed(self.redact(reason), pause)
        except Exception:  # a bug of ours must not keep the threads alive
            log.exception("%s: its end was lost", self.label)

    def failed(self, problem, post=None):
        """What we sent came to this HttpFailed. If nothing can come of the connection any more, it
        ends."""
        hopeless = isinstance(problem, Unreachable) and not (post and post.over)
        if problem.forgotten or problem.in_doubt and post and self._doubt.asked(post.id):
            self.end(FORGOTTEN, 0)
        elif problem.is_circle:
            self.end(str(problem))
        elif needed := self.config_headers.needed(problem):
            self._needs(needed, problem, post)
        elif not self.opened and problem.status in (401, 403):
            # It is final only for a server that has never let us in.
            self.end(f"needs authorization: {problem}",
                     problem.pause if _was_let_in(self.entry).is_set() else math.inf)
        elif not self.opened and (hopeless or problem.pause is not None):
            self.end(str(problem), problem.pause)
        elif post:
            self.fail(post, f"{self.stream.names_endpoint(problem)}{problem}", problem.body)
        if problem.in_doubt:
            self._doubt.find_out()

    def _needs(self, needed, problem, post):
        """A login, in words; one with more rights only for this request."""
        if problem.status == 401 or not self.opened:
            self._waits = True
            log.info("%s: %s", self.label, self.redact(str(problem)))
            self.end(needed, 0)
        elif post:
            self.fail(post, f"{needed}: {problem}")

    def note_sent(self, post):
        """A notification or a response was sent, or could not be."""
        self.release(post)
        if post.cancels is not None:
            self.give_up(post.cancels)
        if post.method == INITIALIZED:
            self.stream.begin(self._clock)

    def give_up(self, id):
        """Nobody waits for this request any more: no error if it is gone."""
        with self._lock:
            post = self.posts.pop(id, None)
        if post:
            post.give_up()

    def fail(self, post, text, body=None):
        """Answer a request with an error: the server's own if it sent one, else ours."""
        with self._lock:
            waits = not self._closed and self.posts.get(post.id) is post
            if waits:   # else the Upstream answers it, or did so
                del self.posts[post.id]
        if waits:
            post.over = True
            text = f'server "{self.entry.name}" {self.redact(text)}'
            self._pass_on({**body, "id": post.id} if body
                          else error(post.id, SERVER_UNAVAILABLE, text))

    def _cancelled(self, id):
        """A request of ours is not wanted. Returns whether the server needs no message about that:
        closing the stream tells it (2026-07-28, Streamable HTTP, Cancellation)."""
        with self._lock:
            post = self.posts.get(id)
        is_modern = post.is_modern if post else not self.message_headers.version
        if is_modern:
            self.give_up(id)
        return is_modern

    # -- NAME-notes

    def _end_session(self, wire):
        try:
            if self.message_headers.session and not self._reported:
                with wire.within(DELETE_SECONDS):
                    wire.ask("DELETE", self.post_target, self.message_headers.legacy())
        except HttpFailed as problem:
            log.debug("%s: its session was not deleted: %s", self.label, self.redact(str(problem)))
        finally:
            self._report("was closed")
