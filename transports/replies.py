"""What our HTTP answers look like: words for people, JSON-RPC errors, server-sent events."""

import flask

from .messages import encode, error

STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx holds events back otherwise
}
STILL_HERE = b": still here\n\n"  # a comment: keeps proxies from ending an idle stream


def plain(status, text, headers=None):
    """A response for people to read."""
    return flask.Response(text + "\n", status, {**(headers or {}),
                                                "Content-Type": "text/plain; charset=utf-8"})


def refusal(status, code, text):
    """An HTTP error whose body is a JSON-RPC error without an id."""
    return flask.Response(encode(error(None, code, text)), status,
                          {"Content-Type": "application/json"})


def used_up(problem):
    """503: try again later."""
    return plain(503, str(problem), {"Retry-After": "5"})


def is_json(environ):
    """Whether the body of a request is said to be JSON."""
    said = environ.get("CONTENT_TYPE", "").partition(";")[0]
    return said.strip().lower() == "application/json"


def event(data, kind=b"message", id=None):
    r"""One event; the data is one line, since `encode` leaves no line end in it.

    >>> event(b'{"id":1}', id="3-1")
    b'id: 3-1\nevent: message\ndata: {"id":1}\n\n'
    """
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return head + b"event: %b\ndata: %b\n\n" % (kind, data)
