"""What a legacy server says of its own accord: one GET whose answer is a stream without an end.

There are two kinds. In Streamable HTTP it may be missing, and is opened again whenever it breaks.
In HTTP+SSE of 2024-11-05 it carries everything that the server says, answers too; its first event
says where to post; if it breaks, the session is over.
"""

import logging

from .event_stream import EventStream
from .exchange import Exchange
from .http_errors import FORGOTTEN, problem_of
from .server_socket import HttpFailed, Unreachable

log = logging.getLogger("router")

PAUSE, LONGEST_PAUSE = 1.0, 60.0    # seconds before the stream is opened again; doubled each time
UNAVAILABLE = 429, 502, 503, 504    # HTTP errors that pass
ENDPOINT_SECONDS = 10.0             # for the first event of HTTP+SSE

_GET = b"Accept: text/event-stream\r\n"


class ServerStream:
    """The stream of one Remote. `run` or `run_old` is the work of NAME-stream."""

    def __init__(self, remote):
        self.is_old = False     # whether it is HTTP+SSE, and we know where to post
        self._remote = remote

    def get(self, exchange, last_id=b""):
        """Open a stream, or resume it. Raises HttpFailed."""
        remote = self._remote
        head = _GET + remote.message_headers.lines()
        if last_id:
            head += b"Last-Event-ID: " + last_id + b"\r\n"
        return remote.ask(exchange, "GET", remote.origin.target, head)

    def run(self):
        """The stream of Streamable HTTP."""
        remote, events, pause = self._remote, EventStream(self._remote.longest), PAUSE
        while not remote.closing.is_set():
            exchange = Exchange(remote.sockets)
            try:
                self.get(exchange, events.last_id)
                if exchange.kind() != "text/event-stream":
                    problem = problem_of(exchange, None, remote.message_headers.session)
                    if exchange.status not in UNAVAILABLE:
                        self._is_missing(problem)
                        return
                    pause = max(pause, problem.pause or 0)
                    raise HttpFailed(problem.text)
                for kind, data in events.events(exchange.pieces()):
                    pause = PAUSE if events.retry is None else events.retry
                    if kind == b"message" and data != b"":  # which would only tell an id
                        remote.take_in(data)
            except HttpFailed as problem:
                log.debug("%s: its stream broke: %s", remote.label, remote.redact(str(problem)))
            finally:
                exchange.end()
            remote.closing.wait(pause)
            pause = min(max(2 * pause, PAUSE), LONGEST_PAUSE)

    def _is_missing(self, problem):
        remote = self._remote
        if problem.kind is FORGOTTEN:
            remote.is_refused(problem)
        elif problem.status != 405:    # which says that there is none
            log.info("%s: has no stream for what it says of its own accord: %s", remote.label,
                     remote.redact(problem.text))

    def run_old(self, may_fail=False):
        """The stream of HTTP+SSE. With `may_fail` the server may be of another kind."""
        remote, exchange = self._remote, Exchange(self._remote.sockets)
        try:
            self._read_old(exchange, may_fail)
            reason = "closed its stream"
        except Unreachable as problem:
            reason = f"cannot be reached: {problem}"
        except HttpFailed as problem:
            reason = str(problem)
        finally:
            exchange.end()
        if self.is_old or not may_fail:
            remote.end(reason)
        remote.ready.set()

    def _read_old(self, exchange, may_fail):
        remote, events = self._remote, EventStream(self._remote.longest)
        self.get(exchange)
        if exchange.kind() != "text/event-stream":
            problem = problem_of(exchange, None, None)
            if not may_fail:
                remote.is_refused(problem)
            raise HttpFailed(problem.text)
        exchange.limit(ENDPOINT_SECONDS)
        for kind, data in events.events(exchange.pieces()):
            if kind == b"message" and self.is_old:
                remote.take_in(data)
            elif kind == b"endpoint" and data:
                self._learn_endpoint(data)
                exchange.limit(None)

    def _learn_endpoint(self, data):
        remote = self._remote
        remote.post_target = remote.origin.target_of(data.decode("utf-8", "replace"),
                                                     remote.origin.target)
        self.is_old = True
        remote.ready.set()
