"""One message on its way to a remote server: its POST, and the answer to it.

A request has its answer in the response to its POST: as JSON, or in a stream of events, after
whatever else the server says on behalf of it. The stream of a legacy request may break before
that, and is resumed by a GET (2025-11-25, Transports, Resumability and Redelivery).
"""

import logging

from transports.fabric.messages import encode

from .event_stream import EventStream
from .exchange import Exchange
from .headers import modern_version
from .http_errors import problem_of
from .server_socket import HttpFailed, Unreachable

log = logging.getLogger("router")

NOTE_SECONDS = 30.0     # for the server to accept a notification or a response
LINGER_SECONDS = 1.0    # for the end of a stream, after its answer
MOST_RESUMPTIONS = 5    # of one stream in a row that bring nothing
RETRY = 1.0             # seconds before one, if the server does not say how many

_POST = (b"Content-Type: application/json\r\n"
         b"Accept: application/json, text/event-stream\r\n")
EVENTS = "text/event-stream"


class Post:
    """A message for the server of this Remote; sent by `send_request` or `send_note`."""

    def __init__(self, message, remote):
        self.message = message
        self.method = message.get("method")
        self.id = message.get("id") if self.method else None    # None: it is no request
        self.is_modern = modern_version(message) is not None
        self.over = False       # whether it has its answer, or nobody waits for that
        self.exchange = Exchange(remote.sockets)
        self._remote = remote
        self._body = encode(message)

    # -- NAME-post-N

    def send_request(self):
        """Pass on its answer, and all that comes before."""
        remote = self._remote
        remote.ready.wait()
        if self.over or remote.closing.is_set():
            return
        try:
            self._converse()
        except Unreachable as problem:
            remote.is_unreachable(problem, self)
        except HttpFailed as problem:
            remote.fail(self, str(problem))
        except Exception:
            remote.fail(self, "could not be asked: a bug in the router, whose log says more")
            raise
        finally:
            self.exchange.end()

    def _converse(self):
        remote, exchange = self._remote, self.exchange
        self._ask()
        if not 200 <= exchange.status < 300:
            self._is_refused()
        elif remote.stream.is_old:
            exchange.read(remote.longest)   # no matter what it says: the answer is on the stream
        else:
            self._read_answer()

    def _is_refused(self):
        problem = self._problem()
        if self.method == "initialize" and self._remote.becomes_old(problem):
            self.exchange.end()
            self._converse()
        else:
            self._remote.is_refused(problem, self)

    def _ask(self, seconds=None):
        headers = _POST + self._remote.message_headers.lines(self.message)
        self._remote.ask(self.exchange, "POST", self._remote.post_target, headers, self._body,
                         seconds=seconds)

    def _problem(self):
        return problem_of(self.exchange, self, self._remote.message_headers.session)

    def _read_answer(self):
        exchange, kind = self.exchange, self.exchange.kind()
        if exchange.status in (202, 204):
            raise HttpFailed(f"accepted the request with HTTP {exchange.status}, and so does not "
                             "answer it")
        if kind == "application/json":
            self._remote.take_in(exchange.read(self._remote.longest), self, exchange.headers)
        elif kind == EVENTS:
            self._read_stream()
        else:
            raise HttpFailed(f"sent {kind or 'nothing'} in place of an answer; it "
                             f"{self._problem().text}")
        if not self.over:
            raise HttpFailed("sent something else in place of the answer")

    def _read_stream(self):
        """The stream of this request, to its end, over as many connections as that takes."""
        remote, events, in_vain = self._remote, EventStream(self._remote.longest), 0
        headers = self.exchange.headers
        while True:
            before = events.last_id
            problem = self._read_events(events, headers)
            in_vain = 0 if events.last_id != before else in_vain + 1
            if self.over or remote.closing.is_set():
                return
            if self.is_modern or not events.last_id or in_vain > MOST_RESUMPTIONS:
                raise problem
            remote.closing.wait(RETRY if events.retry is None else events.retry)
            remote.stream.get(self.exchange, events.last_id)
            if self.exchange.kind() != EVENTS:
                raise HttpFailed(f"{problem}, and it could not be resumed: "
                                 f"{self._problem().text}")

    def _read_events(self, events, headers):
        """What comes on one connection. Returns the HttpFailed that its end would be."""
        try:
            for kind, data in events.events(self._pieces()):
                if kind == b"message" and data != b"":  # which would only tell an id
                    self._remote.take_in(data, self, headers)
                if self.over:
                    self.exchange.limit(LINGER_SECONDS)
        except HttpFailed as problem:
            return problem
        return HttpFailed("ended the stream of the request without an answer")

    def _pieces(self):
        """Those of its stream. After its answer only the end is waited for: more is not read, or
        a server that goes on and on would keep this thread."""
        for piece in self.exchange.pieces():
            if self.over:
                return
            yield piece

    # -- NAME-notes

    def send_note(self):
        """Send a notification or a response."""
        remote, exchange, failed = self._remote, self.exchange, None
        if remote.closing.is_set():
            return
        try:
            self._ask(NOTE_SECONDS)
            if 200 <= exchange.status < 300:
                exchange.read(remote.longest)
            else:
                problem = self._problem()
                failed = problem.text
                remote.is_refused(problem)
        except HttpFailed as problem:
            failed = str(problem)
        finally:
            exchange.end()
            remote.note_sent(self)
        if failed and not remote.closing.is_set():
            log.warning("%s: did not take %s: %s", remote.label, self.method or "an answer",
                        remote.redact(failed))
