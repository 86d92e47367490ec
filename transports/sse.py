"""HTTP+SSE, the transport of revision 2024-11-05.

    GET /sse, GET /sse/{serverName}     the session's stream; first event: the path to post to
    POST /message?sessionId=…           one message from the client; 202, the answer goes out above

A session lives as long as its stream. The view of the stream returns a generator, and waitress
keeps one thread on it: that thread takes messages out of the session's outbox and writes them.
"""

import flask

from .messages import InvalidMessage, decode
from .replies import STILL_HERE, STREAM_HEADERS, event, plain, refusal
from .session import CLOSE, Outbox


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
    while (data := session.outbox.get(heartbeat)) is not CLOSE:
        yield STILL_HERE if data is None else event(data)


def take_message(router):
    """202, or a 4xx that says what was wrong; the session lives on."""
    session = router.sessions.find(flask.request.args.get("sessionId", ""))
    if session is None or not isinstance(session.outbox, Outbox):
        return plain(404, "No such session: it has ended, or never was. Open a new one with "
                         "GET /sse.")
    if flask.request.mimetype != "application/json":
        return plain(415, "The body must be one JSON-RPC message, with the header "
                         "Content-Type: application/json.")
    try:
        router.handle(session, decode(flask.request.get_data()), session.outbox)
    except InvalidMessage as problem:
        return refusal(400, problem.code, str(problem))
    return plain(202, "Accepted")
