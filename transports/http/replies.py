"""What our HTTP answers say, and how they become bytes: whole replies, errors, events."""

import email.utils
import functools
import time
import typing
from http import HTTPStatus

import flask

from transports.fabric.messages import encode, error

TEXT = ("Content-Type", "text/plain; charset=utf-8")
JSON = ("Content-Type", "application/json")
STREAM_HEADERS = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),  # nginx holds events back otherwise
]
PAGE_HEADERS = [
    ("Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
]
STILL_HERE = b": still here\n\n"  # a comment: keeps proxies from ending an idle stream
NO_JSON = "The body must be one JSON-RPC message, with the header Content-Type: application/json."


class Reply(typing.NamedTuple):
    """A whole answer. A Flask view may return it: Flask takes a tuple of these three."""

    body: bytes
    status: str
    headers: list = []

    def to_bytes(self, request, is_last):
        """The answer to this Request; `is_last`: the connection ends after it."""
        begin = head(request.version, self.status, (*self.headers, *request.cors), is_last,
                     int(time.time()))
        if not self.status.startswith("204"):   # RFC 9110, 8.6
            begin += b"Content-Length: %d\r\n" % len(self.body)
        return begin + b"\r\n" + (b"" if request.command == "HEAD" else self.body)


@functools.lru_cache(100)
def head(version, status, headers, is_last, second):
    """The beginning of an answer; more headers may follow. Most of one second are the same."""
    version = "1.1" if version == "1.1" else "1.0"
    ends = ("Connection: close\r\n" if is_last
            else "Connection: Keep-Alive\r\n" if version == "1.0" else "")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    date = email.utils.formatdate(second, usegmt=True)
    return f"HTTP/{version} {status}\r\n{lines}{ends}Date: {date}\r\n".encode("latin-1")


def plain(status, text, *headers):
    """A reply for people to read."""
    return Reply(f"{text}\n".encode(), f"{status} {HTTPStatus(status).phrase}", [TEXT, *headers])


def json_error(status, code, text, data=None):
    """An HTTP error, as a JSON-RPC error."""
    body = encode(error(None, code, text, data))
    return Reply(body, f"{status} {HTTPStatus(status).phrase}", [JSON])


def used_up(problem):
    """503, and when to try again."""
    return plain(503, problem, ("Retry-After", "5"))


ACCEPTED = Reply(b"", "202 Accepted")
BY_WORKER = object()    # what `post` of a way in returns instead, see transports/http
BUG = plain(500, "A bug in the router; its log says more.")


def is_json(content_type):
    """Whether the body of a request is said to be JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


@functools.lru_cache(100)
def accepts(accepted, *types):
    """Whether the client takes all these types; one that does not say takes anything."""
    quality = flask.Request({"HTTP_ACCEPT": accepted or "*/*"}).accept_mimetypes.quality
    return all(quality(one) > 0 for one in types)


def event(data, kind=b"message", id=None):
    """One event; the data is one line, since `encode` leaves no line end in it."""
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return head + b"event: %b\ndata: %b\n\n" % (kind, data)
