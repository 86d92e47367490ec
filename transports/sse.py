"""HTTP+SSE, the transport of revision 2024-11-05.

    GET /sse, GET /sse/{serverName}     the session's stream; first event: the path to post to
    POST /message?sessionId=…           one message from the client; 202, the answer goes out above

A session lives as long as its stream. The view of the stream returns a generator, and waitress
keeps one thread on it: that thread takes messages out of the session's outbox and writes them.
"""

import flask

from .messages import InvalidMessage, decode, encode, error
from .session import CLOSE

STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx holds events back otherwise
}


def blueprint(router, streams, heartbeat):
    """The routes of this transport."""
    routes = flask.Blueprint("sse", __name__)

    @routes.get("/sse")
    @routes.get("/sse/<name>")
    def stream(name=None):
        return open_stream(router, streams, heartbeat, name)

    @routes.post("/message")
    def message():
        return take_message(router)

    return routes


def open_stream(router, streams, heartbeat, name):
    """A new session and its stream: 200, 404 for an unknown server, 503 for one too many."""
    try:
        session = router.open(name)
    except LookupError as problem:
        return text(404, str(problem))
    try:
        streams.open(flask.request.environ, session.outbox)
    except Exception:
        router.leave(session)
        raise

    def ended():
        streams.closed()
        router.leave(session)

    response = flask.Response(_events(session, heartbeat), headers=STREAM_HEADERS)
    # Not in a `finally` of the generator: one that was never begun runs none.
    response.call_on_close(ended)
    return response


def _events(session, heartbeat):
    """Run by the waitress thread that holds the stream. The first yield sends the headers."""
    yield event(f"/message?sessionId={session.id}".encode(), b"endpoint")
    while (data := session.outbox.get(heartbeat)) is not CLOSE:
        yield b": still here\n\n" if data is None else event(data)


def event(data, kind=b"message"):
    r"""One event; the data is one line, since `encode` leaves no line end in it.

    >>> event(b'{"id":1}')
    b'event: message\ndata: {"id":1}\n\n'
    """
    return b"event: %b\ndata: %b\n\n" % (kind, data)


def take_message(router):
    """202, or a 4xx that says what was wrong; the session lives on."""
    session = router.find(flask.request.args.get("sessionId", ""))
    if session is None:
        return text(404, "No such session: it has ended, or never was. Open a new one with "
                         "GET /sse.")
    if flask.request.mimetype != "application/json":
        return text(415, "The body must be one JSON-RPC message, with the header "
                         "Content-Type: application/json.")
    try:
        router.handle(session, decode(flask.request.get_data()), session.outbox)
    except InvalidMessage as problem:
        return flask.Response(encode(error(None, problem.code, str(problem))), 400,
                              {"Content-Type": "application/json"})
    return text(202, "Accepted")


def text(status, words):
    return flask.Response(words + "\n", status, {"Content-Type": "text/plain; charset=utf-8"})
