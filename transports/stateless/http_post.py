"""A modern request over HTTP: a POST at /mcp, and the answer to that.

    the answer alone        it is answered with that, as JSON, by the thread that brings it
    anything before that    it becomes a stream of events, which a worker feeds, and which ends
                            with the answer; so it does after a silence, as a sign of life
    its client hangs up     its call is cancelled (2026-07-28, Streamable HTTP, Cancellation)

An error that says what was wrong with the request has an HTTP status that says so too."""

import threading
import time
import typing
from http import HTTPStatus

import flask

from transports.fabric.messages import (INVALID_REQUEST, LATEST, METHOD_NOT_FOUND, NOTIFICATION,
                                        RESPONSE, REVISIONS, SERVER_UNAVAILABLE, VERSION_KEY,
                                        InvalidMessage, Refused, decode, dig, encode, error, is_id,
                                        kind_of)
from transports.fabric.outbox import CLOSE, Outbox
from transports.fabric.peers import passing
from transports.fabric.session import UsedUp
from transports.fabric.text import log
from transports.http.replies import (ACCEPTED, JSON, NO_JSON, STILL_HERE, Reply, accepts, event,
                                     is_json, used_up)

from .answers import MISSING_CAPABILITY
from .header_checks import HEADER_MISMATCH, check_headers, check_parameters, said_in
from .stateless import UNSUPPORTED_VERSION, Stateless

TRANSPORT = "stateless-http"    # what our sessions say of themselves

# The code of an answer that is an error, with nothing before it → its HTTP status; else it is 200.
STATUS = {METHOD_NOT_FOUND: 404, HEADER_MISMATCH: 400, MISSING_CAPABILITY: 400,
          UNSUPPORTED_VERSION: 400}
# The same for what we refuse before any server has it; else it is 400.
REFUSED_STATUS = {SERVER_UNAVAILABLE: 503}
LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
GONE_SECONDS = 600      # after which a client that asks nothing is said to have gone
MOST_CLIENTS = 100      # of which that is said
PREFIX = VERSION_KEY.partition("/")[0].encode()     # some encoders escape the slash


class Said(typing.NamedTuple):
    """What the header of a POST says."""

    name: str           # behind /mcp, or None
    refused: Reply      # to what does not fit, or None
    is_modern: bool     # whether it is of this era, unless its body says something else …
    words: bytes        # … which it does not without these; None: it never does
    headers: dict       # see said_in
    to_behind: object   # what it says to the way behind


class StatelessHttp:
    """The way in at /mcp of modern requests. What is none goes on to the way `behind`."""

    path = "/mcp"

    def __init__(self, behind, router, clock, workers, heartbeat):
        self._behind, self._router, self._clock = behind, router, clock
        self._stateless = Stateless(router, _serves, _begins)
        self.workers, self.heartbeat = workers, heartbeat
        self.title = behind.title if behind else "Streamable HTTP"
        self._clients = {}      # what each calls itself → when it has asked last
        self._look()

    def views(self):
        if self._behind:
            routes = self._behind.views()
            routes.before_request(_refuse_modern)
            return routes
        routes = flask.Blueprint("stateless_http", __name__)
        for path in ("/mcp", "/mcp/", "/mcp/<name>"):   # for the 405 of others: see `post`
            routes.add_url_rule(path, path, None, methods=["POST"])
        return routes

    def reads(self, request):
        """A Said; None for another path."""
        if request.path != "/mcp" and not request.path.startswith("/mcp/"):
            return None
        refused = None
        if not accepts(request.header("Accept"), "application/json", "text/event-stream"):
            refused = _refusal(406, "Accept both application/json and text/event-stream.")
        elif not is_json(request.header("Content-Type", "")):
            refused = _refusal(415, NO_JSON)
        name = request.path[len("/mcp/"):] or None
        if self._behind is None:
            return Said(name, refused, True, None, said_in(request), None)
        version = request.header("Mcp-Protocol-Version")
        is_modern = version not in (None, *REVISIONS)
        words = b"initialize" if is_modern else PREFIX
        if "MCP_SESSION_ID" in request.headers and not _is_of_this_era(version):
            is_modern, words = False, None  # a session's has that header too
        return Said(name, refused, is_modern, words, said_in(request), self._behind.reads(request))

    def post(self, request, said, connection, quickly):
        """Begin what a POST asks for. Returns the Reply; None if it comes later."""
        body, message, refused, is_modern = request.body(), None, said.refused, said.is_modern
        says_more = said.words is not None and said.words in body
        if is_modern or says_more:
            try:
                message = decode(body)
                is_modern = _is_modern(is_modern, message) if says_more else is_modern
            except InvalidMessage as problem:
                refused = refused or _reply(400, problem.answer(None))
        if not is_modern:
            return self._behind.post(request, said.to_behind, connection, quickly)
        return refused or self._answer(request, said, message, connection)

    def _answer(self, request, said, message, connection):
        try:
            return self._begin(request, said, message, connection)
        except Refused as problem:
            return _reply(REFUSED_STATUS.get(problem.code, 400), problem.answer(_id_of(message)))
        except LookupError as problem:
            return _refusal(404, str(problem), _id_of(message))

    def _begin(self, request, said, message, connection):
        kind = kind_of(message)
        if kind is RESPONSE:
            raise InvalidMessage(INVALID_REQUEST, "a client of this revision sends no responses")
        if kind is NOTIFICATION:
            self._router.surface(said.name)
            return ACCEPTED     # this era has none that would mean anything here
        check_headers(request, said.headers, message)
        post = AnswerPost(self, request, connection)
        connection.when_gone(post.gone)
        self._stateless.serve(message, post, TRANSPORT, said.name,
                              size=request.body_bytes_received)
        self._hear_of(post.session.client())
        if post.is_over:    # it may have been so before its session knew of it
            post.gone()
        return None

    def _hear_of(self, client):
        """These clients have no sessions, so nothing else says in the log that one has come."""
        if client not in self._clients:
            if len(self._clients) >= MOST_CLIENTS:
                return
            log.info("a client without a session has come: %s", client)
        self._clients[client] = time.monotonic()

    def _look(self):
        """Called by the clock again and again: a POST that waits in silence becomes a stream."""
        self._clock.after(self.heartbeat / 3, self._look)
        moment = time.monotonic() - self.heartbeat
        for client, last in list(self._clients.items()):
            if time.monotonic() - last > GONE_SECONDS:
                del self._clients[client]
                log.info("it has asked nothing for ten minutes: %s", client)
        for session in self._router.sessions.all():
            post = session.exchange if session.transport == TRANSPORT else None
            if post and post.since <= moment and self.has_room():
                post.become_stream()

    def has_room(self):
        """Whether one more stream may begin."""
        return self.workers.streams < self.workers.most_streams


def _id_of(message):
    """The id of a request; None if it is none."""
    id = dig(message, "id")
    return id if is_id(id) and dig(message, "method") is not None else None


def _is_modern(is_other, message):
    """Whether a message without a session is of this era, also by its body. `is_other`: whether
    its header says so. `initialize` begins a session, whatever the header says."""
    named = dig(message, "params", "_meta", VERSION_KEY)
    if dig(message, "method") == "initialize":
        return isinstance(named, str) and named not in REVISIONS
    return is_other or named is not None


def _is_of_this_era(version):
    """Whether a header names it, or a later one."""
    return version is not None and version not in REVISIONS and version > LATEST


def _refuse_modern():
    """Only POSTs are of this era (2026-07-28, Streamable HTTP, Earlier Revisions)."""
    if _is_of_this_era(flask.request.headers.get("Mcp-Protocol-Version")):
        flask.abort(405, valid_methods=["POST"])


def _serves(post, session):
    post.session = session


def _begins(session, message, post):
    check_parameters(post.request, session, message)


class AnswerPost:
    """The POST of one request: a Peer, to which its session sends what belongs to it and then its
    answer. Any thread."""

    def __init__(self, way, request, connection):
        self._way, self.request, self.connection, self.session = way, request, connection, None
        self.since = time.monotonic()
        self._lock = threading.Lock()
        # protected by _lock:
        self._outbox = None     # once it is a stream
        self.is_over = False    # whether it has its answer, or its client has gone

    def send(self, message):
        data, is_answer = encode(message), "method" not in message
        if not is_answer and (self._way.has_room() or self.session.listener):
            self.become_stream()    # else it gets its answer alone
        with self._lock:
            if self.is_over or not is_answer and self._outbox is None:
                return
            self.is_over, outbox = is_answer, self._outbox
        if passing.watched:
            passing.observer.to_client(self.session.name, message, data)
        if outbox is None:
            status = STATUS.get(dig(message.get("error"), "code"), 200)
            self.connection.answer(_reply(status, data))
            return
        outbox.put(data)
        if is_answer:
            outbox.close()

    def become_stream(self):
        """If it is none yet, and not over."""
        with self._lock:
            if self.is_over or self._outbox:
                return
            self._outbox = Outbox(self.session.name, self.connection.disconnect)
        self.connection.become_stream(self)

    def as_stream(self):
        """The response, made by the worker that feeds it."""
        outbox = self._outbox
        outbox.write_at_once = lambda data: self.connection.write(event(data), at_once=True)
        try:
            return self._way.workers.open_stream(self.connection, self._events(), self.gone,
                                                 self.gone)
        except UsedUp as problem:    # it is gone for us as well
            return used_up(problem)

    def _events(self):
        yield STILL_HERE
        while (found := self._outbox.get(self._way.heartbeat)) is not CLOSE:
            yield b"".join(map(event, found)) or STILL_HERE

    def gone(self):
        """The client has hung up, or has got everything."""
        with self._lock:
            self.is_over, outbox = True, self._outbox
        if outbox:
            outbox.close()
        if self.session:
            self.session.left(self)


def _reply(status, answer):
    """A whole answer: JSON, with this status. `answer`: a message, or its bytes."""
    body = answer if isinstance(answer, bytes) else encode(answer)
    again = [("Retry-After", "5")] if status == 503 else []
    return Reply(body, LINES[status], [JSON, *again])


def _refusal(status, text, id=None):
    return _reply(status, error(id, INVALID_REQUEST, text))
