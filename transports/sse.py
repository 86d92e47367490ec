"""HTTP+SSE, the transport of revision 2024-11-05.

    GET /sse, GET /sse/{serverName}     the session's stream; first event: the path to post to
    POST /message?sessionId=…           one message from the client; 202, the answer goes out above

A session lives as long as its stream. The view of the stream returns a generator, and waitress
keeps one thread on it: that thread takes messages out of the session's outbox and writes them.
"""

from urllib.parse import parse_qs

import flask

from .messages import InvalidMessage, decode
from .outbox import CLOSE, Outbox
from .replies import STILL_HERE, STREAM_HEADERS, event, is_json, plain, refusal


ACCEPTED = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "9")]


def blueprint(router, streams, heartbeat):
    """The streams of this transport; its messages take a shorter way, see http.py."""
    routes = flask.Blueprint("sse", __name__)

    @routes.get("/sse")
    @routes.get("/sse/<name>")
    def stream(name=None):
        return open_stream(router, streams, heartbeat, name)

    return routes


def open_stream(router, streams, heartbeat, name):
    """A new session and its stream: 200, 404 for an unknown server, 503 for one too many."""
    try:
        session = router.open(name)
    except LookupError as problem:
        return plain(404, str(problem))
    try:
        abandon = streams.open(flask.request.environ, session.outbox.close)
    except Exception:
        router.leave(session)
        raise
    session.outbox.on_behind = abandon

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
    while (found := session.outbox.get(heartbeat)) is not CLOSE:
        yield b"".join(map(event, found)) or STILL_HERE


def take_message(router, environ, start_response):
    """POST /message, as a WSGI application: what a view would do, at a third of its cost.

    It is the route that every message of a client takes. 202, or a 4xx that says what was wrong;
    the session lives on.
    """
    ids = parse_qs(environ["QUERY_STRING"]).get("sessionId", [""])
    session = router.sessions.find(ids[0])
    if session is None or not isinstance(session.outbox, Outbox):
        return plain(404, "No such session: it has ended, or never was. Open a new one with "
                          "GET /sse.")(environ, start_response)
    if not is_json(environ):
        return plain(415, "The body must be one JSON-RPC message, with the header "
                          "Content-Type: application/json.")(environ, start_response)
    try:
        router.handle(session, decode(environ["wsgi.input"].read()), session.outbox)
    except InvalidMessage as problem:
        return refusal(400, problem.code, str(problem))(environ, start_response)
    start_response("202 Accepted", ACCEPTED)
    return [b"Accepted\n"]
