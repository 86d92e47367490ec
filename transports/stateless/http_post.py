"""A modern request over HTTP: a POST at /mcp, and the answer to that.

    the answer alone        it is answered with that, as JSON, by the thread that brings it
    anything before that    it becomes a stream of events, which a worker feeds, and which ends
                            with the answer; so it does after a silence, as a sign of life
    its client hangs up     its call is cancelled (2026-07-28, Streamable HTTP, Cancellation)

An error that says what was wrong with the request has an HTTP status that says so too.
"""

import itertools
import threading
import time
from http import HTTPStatus

import flask

from transports.fabric.messages import (INVALID_REQUEST, LATEST, METHOD_NOT_FOUND, MODERN_REVISION,
                                        NOTIFICATION, PARSE_ERROR, REQUEST, REVISIONS, VERSION_KEY,
                                        InvalidMessage, Refused, decode, dig, encode, error,
                                        kind_of)
from transports.fabric.outbox import CLOSE, Outbox
from transports.fabric.peers import passing
from transports.http.replies import (ACCEPTED, JSON, NO_JSON, STILL_HERE, Reply, accepts, event,
                                     is_json, used_up)
from transports.http.workers import StreamsUsedUp

from .answers import MISSING_CAPABILITY
from .header_checks import HEADER_MISMATCH, check_headers
from .stateless import UNSUPPORTED_VERSION, Stateless

TRANSPORT = "stateless-http"    # what our sessions say of themselves

# The code of an error → the HTTP status of an answer that has nothing else.
STATUS = {METHOD_NOT_FOUND: 404, PARSE_ERROR: 400, INVALID_REQUEST: 400, HEADER_MISMATCH: 400,
          MISSING_CAPABILITY: 400, UNSUPPORTED_VERSION: 400}


class StatelessHttp:
    """The way in at /mcp of modern requests. What is none goes on to the way `behind`."""

    path = "/mcp"

    def __init__(self, behind, router, clock, workers, heartbeat):
        self._behind, self._router, self._clock = behind, router, clock
        self._stateless, self._numbers = Stateless(router), itertools.count(1)
        self.workers, self.heartbeat = workers, heartbeat
        self.title = behind.title if behind else "Streamable HTTP"
        self.silent = {}    # AnswerPost → since when, for those that have sent nothing yet
        self._look()

    def views(self):
        if self._behind:
            return self._behind.views()
        routes = flask.Blueprint("stateless_http", __name__)
        for path in ("/mcp", "/mcp/", "/mcp/<name>"):   # for the 405 of others: see `post`
            routes.add_url_rule(path, path, None, methods=["POST"])
        return routes

    def takes(self, request):
        return request.path == "/mcp" or request.path.startswith("/mcp/")

    def is_quick(self, request):
        return self._is_modern(request) or bool(self._behind and self._behind.is_quick(request))

    def _is_modern(self, request):
        """Whether it is of this era: by its header, which a session's has too; else by its body,
        where there is no session that it could be of."""
        version = request.header("Mcp-Protocol-Version")
        if version == MODERN_REVISION:
            return True
        if version in REVISIONS or version is None:
            return "MCP_SESSION_ID" not in request.headers and (
                self._behind is None or VERSION_KEY.encode() in request.body())
        return version > LATEST or "MCP_SESSION_ID" not in request.headers

    def post(self, request, connection):
        """Begin what a POST asks for. Returns the Reply; None if it comes later."""
        if not self._is_modern(request):
            return self._behind.post(request, connection)
        id = None
        try:
            message = self._read(request)
            if kind_of(message) is NOTIFICATION:
                return ACCEPTED     # this era has none that would mean anything here
            id = message["id"]
            check_headers(request, message)
            post = AnswerPost(self, connection, f"POST {next(self._numbers)}")
            self._begin(post, message, request.path[len("/mcp/"):] or None)
        except Refused as problem:
            return _reply(STATUS.get(problem.code, 400), problem.answer(id))
        except LookupError as problem:
            return _reply(404, error(id, INVALID_REQUEST, str(problem)))
        except HttpError as problem:
            return _reply(problem.status, error(id, INVALID_REQUEST, str(problem)))
        return None

    def _read(self, request):
        """The message of a POST. Raises Refused, and HttpError."""
        if not accepts(request.header("Accept"), "application/json", "text/event-stream"):
            raise HttpError(406, "Accept both application/json and text/event-stream.")
        if not is_json(request.header("Content-Type", "")):
            raise HttpError(415, NO_JSON)
        message = decode(request.body())
        if kind_of(message) not in (REQUEST, NOTIFICATION):
            raise InvalidMessage(INVALID_REQUEST, "a client of this revision sends no responses")
        return message

    def _begin(self, post, message, name):
        self.silent[post] = time.monotonic()
        post.connection.when_gone(post.gone)
        try:
            post.session = self._stateless.serve(message, post, TRANSPORT, name)
        except (Refused, LookupError):
            self.silent.pop(post, None)
            raise
        if post.is_over:    # it was so before we knew the session
            post.session.left(post)

    def _look(self):
        """Called by the clock again and again: a POST that waits in silence becomes a stream."""
        self._clock.after(self.heartbeat / 3, self._look)
        moment = time.monotonic() - self.heartbeat
        for post, since in list(self.silent.items()):
            if since <= moment and self.workers.streams < self.workers.most_streams:
                post.become_stream()


class HttpError(Exception):
    """What is wrong with a POST, in HTTP's terms."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class AnswerPost:
    """The POST of one request: a Peer, to which its session sends what belongs to it and then its
    answer. Any thread."""

    def __init__(self, way, connection, name):
        self.connection, self.name, self.session = connection, name, None
        self._way = way
        self._lock = threading.Lock()
        # protected by _lock:
        self._outbox = None     # once it is a stream
        self.is_over = False    # whether it has its answer, or its client has gone

    def send(self, message):
        data, is_answer = encode(message), "method" not in message
        if passing.watched:
            passing.observer.to_client(self.session.name if self.session else self.name,
                                       message, data)
        with self._lock:
            if self.is_over:
                return
            self.is_over = is_answer
            outbox = self._outbox
        if is_answer and outbox is None:
            self._way.silent.pop(self, None)
            self.connection.answer(_reply(STATUS.get(dig(message, "error", "code"), 200), data))
            return
        outbox = outbox or self.become_stream()
        outbox.put(data)
        if is_answer:
            outbox.close()

    def become_stream(self):
        """Returns its outbox."""
        with self._lock:
            is_new = self._outbox is None
            if is_new:
                self._outbox = Outbox(self.name, self.connection.disconnect)
        if is_new:
            self._way.silent.pop(self, None)
            self.connection.become_stream(self)
        return self._outbox

    def as_stream(self):
        """The response, made by the worker that feeds it."""
        outbox = self._outbox
        outbox.write_at_once = lambda data: self.connection.write(event(data), at_once=True)
        try:
            return self._way.workers.open_stream(self.connection, self._events(), self.gone,
                                                 self.gone)
        except StreamsUsedUp as problem:
            self.gone()
            return used_up(problem)

    def _events(self):
        yield STILL_HERE
        while (found := self._outbox.get(self._way.heartbeat)) is not CLOSE:
            yield b"".join(map(event, found)) or STILL_HERE

    def gone(self):
        """The client has hung up, or has got everything."""
        self._way.silent.pop(self, None)
        with self._lock:
            self.is_over, outbox = True, self._outbox
        if outbox:
            outbox.close()
        if self.session:
            self.session.left(self)


def _reply(status, answer):
    """A whole answer: JSON, with this status. `answer`: a message, or its bytes."""
    body = answer if isinstance(answer, bytes) else encode(answer)
    return Reply(body, f"{status} {HTTPStatus(status).phrase}", [JSON])
