"""What our HTTP answers look like: words for people, JSON-RPC errors, server-sent events."""

import typing
from http import HTTPStatus

import flask
from waitress.channel import ClientDisconnected

from transports.fabric.messages import encode, error
from transports.http.engine.connection import LONG

STREAM_HEADERS = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),  # nginx holds events back otherwise
]
STILL_HERE = b": still here\n\n"  # a comment: keeps proxies from ending an idle stream

PAGE_HEADERS = [
    ("Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
]

JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain; charset=utf-8")


class Reply(typing.NamedTuple):
    """A whole HTTP answer. A Flask view returns its `response()`; a POST needs no Flask."""

    status: str
    body: bytes = b""
    headers: list = []

    def response(self):
        return flask.Response(self.body, self.status, self.headers)


def plain(status, text, *headers):
    """A reply for people to read."""
    return Reply(_line(status), f"{text}\n".encode(), [TEXT, *headers])


def json_error(status, code, text):
    """An HTTP error whose body is a JSON-RPC error without an id."""
    return Reply(_line(status), encode(error(None, code, text)), [JSON])


def used_up(problem):
    """503, and when to try again."""
    return plain(503, problem, ("Retry-After", "5"))


def _line(status):
    return f"{status} {HTTPStatus(status).phrase}"


ACCEPTED = Reply("202 Accepted")
BUG = plain(500, "A bug in the router; its log says more.")
NO_JSON = "The body must be one JSON-RPC message, with the header Content-Type: application/json."


def is_json(content_type):
    """Whether the body of a request is said to be JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


class EventResponse(flask.Response):
    """A stream: a response whose events come from a generator, or from any thread that has one to
    send."""

    def __init__(self, events, client_connection, headers=()):
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
        if self._client_connection.total_outbufs_len or len(data) > LONG:
            return False
        try:
            self._write(event(data))
        except (ClientDisconnected, OSError):
            return False  # the worker that feeds the stream will meet the same
        return True


def event(data, kind=b"message", id=None):
    r"""One event; the data is one line, since `encode` leaves no line end in it.

    >>> event(b'{"id":1}', id="3-1")
    b'id: 3-1\nevent: message\ndata: {"id":1}\n\n'
    """
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return head + b"event: %b\ndata: %b\n\n" % (kind, data)
