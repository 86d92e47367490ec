"""What our HTTP answers say: JSON-RPC errors and server-sent events; and the headers of both."""

from http import HTTPStatus

from transports.fabric.messages import encode, error
from transports.http.engine.reply import Reply, plain

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
ACCEPTED = Reply(b"", "202 Accepted")
NO_JSON = "The body must be one JSON-RPC message, with the header Content-Type: application/json."


def json_error(status, code, text):
    """An HTTP error whose body is a JSON-RPC error without an id."""
    return Reply(encode(error(None, code, text)), f"{status} {HTTPStatus(status).phrase}", [JSON])


def used_up(problem):
    """503, and when to try again."""
    return plain(503, problem, ("Retry-After", "5"))


def is_json(content_type):
    """Whether the body of a request is said to be JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def event(data, kind=b"message", id=None):
    r"""One event; the data is one line, since `encode` leaves no line end in it.

    >>> event(b'{"id":1}', id="3-1")
    b'id: 3-1\nevent: message\ndata: {"id":1}\n\n'
    """
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return head + b"event: %b\ndata: %b\n\n" % (kind, data)
