"""The way of one thread to a remote server: one HTTP request and its answer at a time, on a
connection that is kept for the next ones.

A request is sent once: it may have run, whatever became of its answer. So a kept connection is
looked at before it is used again, and nothing is repeated when it breaks afterwards. Another
origin must not see our headers: redirects are followed to the same one only."""

import contextlib
import http.client
import re
import threading

from transports.fabric.peers import StartFailed
from transports.fabric.text import printable

from .connection import CONNECT_SECONDS, HttpFailed, ServerConnection, Unreachable, in_words
from .message_headers import SESSION, circle
from .problem import Problem

MOST_REDIRECTS = 5
LINGER_SECONDS = 1.0    # for the rest of an answer that nobody needs
PIECE = 2**16           # bytes

_FAILED = OSError, ValueError, http.client.HTTPException
_LENGTH = re.compile(r"[0-9]{1,15}")


class Wire:
    """Used by one thread: `begin`, `ask` any number of times, `end`; and so on; at last `close`.
    After `ask` there are status, reason and headers, and the body: `pieces` or `read`. `user`:
    what tells one use from the next."""

    def __init__(self, origin, config_headers, clock):
        self.origin, self._config_headers, self._clock = origin, config_headers, clock
        self._connection = self._response = None
        self._all_read = False
        self._lock = threading.Lock()
        # protected by _lock:
        self.user = None            # what it is used for now
        self._given_up = None       # why nobody waits for that any more

    def begin(self, user):
        with self._lock:
            self.user = user

    def end(self):
        self.let_go()
        with self._lock:
            self.user, given_up, self._given_up = None, self._given_up, None
        if given_up:
            self.close()

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def abort(self, user, why="was given up"):
        """Nobody waits for this user any more; no effect on the next one. Any thread."""
        with self._lock:
            if user is None or self.user != user:
                return
            self._given_up, connection = why, self._connection
        if connection:
            connection.abort(why)

    @contextlib.contextmanager
    def within(self, seconds, what="did not end"):
        """What is not done after so many seconds is given up."""
        event = self._clock.after(seconds, self.abort, self.user,
                                  f"{what} within {seconds:g} seconds")
        try:
            yield
        finally:
            self._clock.forget(event)

    def ask(self, method, target, headers, body=b"", kinds=(), in_session=False):
        """Send a request with these headers and those of the config; once more if they are refused
        and a command can make others. Raises HttpFailed; it is a Problem for an error, and for an
        answer of none of these media types if there are some."""
        refused = None
        for again in (self._config_headers.can_change, False):
            try:
                ours = self._config_headers.pairs(refused)
            except StartFailed as problem:
                raise HttpFailed(f"could not be asked: {problem}") from None
            if ours == refused:
                break   # there are no others
            self._follow(method, target, [*ours, circle.header, *headers], body)
            if self.status != 401 or not again:
                break
            refused = ours
        if not 200 <= self.status < 300 or kinds and self.kind() not in kinds:
            raise Problem(self, in_session or any(name == SESSION for name, _ in headers), method)

    def _follow(self, method, target, headers, body):
        for _ in range(MOST_REDIRECTS + 1):
            self._send(method, target, headers, body)
            if self.status not in (301, 302, 303, 307, 308) or "location" not in self.headers:
                return
            target = self.origin.target_of(self.headers["location"], target)
            if self.status not in (307, 308):
                raise HttpFailed(f"answered {self.status} {self.reason}, a redirect that would "
                                 'not keep the method: put the right URL into "url"')
        raise HttpFailed(f"redirected us more than {MOST_REDIRECTS} times")

    def _send(self, method, target, headers, body):
        self.let_go()
        try:
            if not self._connection or not self._connection.is_usable():
                self._connect()
            self._response = response = self._connection.ask(method, target, headers, body)
        except _FAILED as problem:
            self.close()
            raise self._failure(problem) from None
        self.status, self.headers = response.status, response.headers
        self.reason = printable(response.reason[:100])
        _check(response.headers)

    def _connect(self):
        self.close()
        self._connection = ServerConnection(self.origin)   # first: `abort` may come at any time
        if self._given_up:
            raise HttpFailed(self._given_up)
        with self.within(3 * CONNECT_SECONDS):
            try:
                self._connection.connect()
            except Unreachable as problem:
                raise Unreachable(f"cannot be reached: {problem}") from None

    def kind(self):
        """The media type of an answer; "" of an error, and of what says that there is none."""
        has_one = 200 <= self.status < 300 and self.status not in (202, 204)
        kind = self.headers.get("content-type", "") if has_one else ""
        return kind.partition(";")[0].strip().lower()

    def pieces(self):
        """The body, in pieces of bytes as they come. Raises HttpFailed if it breaks off."""
        response = self._response
        try:
            while response.length != 0 and (piece := response.read1(PIECE)):
                yield piece
        except _FAILED as problem:
            raise self._failure(problem) from None
        if response.length:
            raise self._failure(http.client.IncompleteRead(b""))
        self._all_read = True

    def read(self, most):
        """The body, and a piece more than `most` bytes at most."""
        found = bytearray()
        for piece in self.pieces():
            found += piece
            if len(found) > most:
                break
        return bytes(found)

    def finish(self):
        """Nobody needs the rest. If it is short and comes soon, the connection can be kept."""
        self._connection.socket.settimeout(LINGER_SECONDS)  # of each read, until it is kept
        with contextlib.suppress(HttpFailed):
            for _ in zip(range(4), self.pieces()):
                pass

    def let_go(self):
        """Of the last answer; and of the connection, unless it can carry another one."""
        response, self._response = self._response, None
        if response:
            response.close()
            if self._all_read and not response.will_close:
                self._connection.keep(response.headers.get("keep-alive", ""))
            else:
                self.close()
        self._all_read = False

    def _failure(self, problem):
        if self._given_up:
            return HttpFailed(self._given_up)
        if isinstance(problem, http.client.RemoteDisconnected):
            return HttpFailed("closed the connection before its answer was complete")
        if isinstance(problem, http.client.IncompleteRead):
            return HttpFailed("closed the connection in the middle of its answer")
        said = printable(in_words(problem))
        return HttpFailed(f"broke the connection: {said}" if isinstance(problem, OSError)
                          else f"sent something that is no HTTP: {said}")


def _check(headers):
    """http.client reads on where it does not understand a header. Raises HttpFailed instead."""
    encodings = [each.lower() for each in headers.get_all("transfer-encoding", [])]
    lengths = headers.get_all("content-length", [])
    if headers.defects:
        raise HttpFailed("sent a header that is none")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpFailed("sent a compressed answer, though we did not ask for that")
    if encodings not in ([], ["chunked"]):
        raise HttpFailed("sent a Transfer-Encoding that is not chunked")
    if len(set(lengths)) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise HttpFailed("sent a Content-Length that is no number")
