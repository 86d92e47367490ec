"""HTTP+SSE, the transport of revision 2024-11-05.

    GET /sse, GET /sse/{name}   the session's stream; first event: the path to post to. The name is
                                a server's or a group's
    POST /message?sessionId=…   one message from the client; 202, the answer goes out above

A session lives as long as its stream. The worker that sends that is the feeder of its outbox."""

import functools
import re

import flask

from transports.fabric.messages import InvalidMessage, decode
from transports.fabric.outbox import CLOSE

from .replies import ACCEPTED, BY_WORKER, NO_JSON, STILL_HERE, event, is_json, json_error, plain

TRANSPORT = "sse"   # what our sessions say of themselves

SESSION_ID = re.compile("(?:^|&)sessionId=([^&]*)")     # which needs no unquoting


class HttpSse:
    """The view of the stream, run by a worker, and what a POST does."""

    title, path = "HTTP+SSE, its predecessor", "/sse"

    def __init__(self, router, _clock, workers, heartbeat):
        self._router, self._workers, self._heartbeat = router, workers, heartbeat

    def views(self):
        routes = flask.Blueprint("sse", __name__)
        for path in ("/sse", "/sse/", "/sse/<name>"):
            routes.add_url_rule(path, path, self.get)
        routes.add_url_rule("/message", "/message", methods=["POST"])   # for the 405 of others
        return routes

    def get(self, name=None):
        """A new session and its stream: 200, 404 for an unknown name, 503 for one too many."""
        try:
            session = self._router.open(TRANSPORT, name)
        except LookupError as problem:
            return plain(404, problem)
        connection = flask.request.environ["router.connection"]
        session.outbox.on_behind = connection.disconnect
        session.outbox.write_at_once = lambda data: connection.write(event(data), at_once=True)
        return self._workers.open_stream(connection, self._events(session), session.outbox.close,
                                         functools.partial(self._router.leave, session))

    def _events(self, session):
        yield event(f"/message?sessionId={session.id}".encode(), b"endpoint")
        while (found := session.outbox.get(self._heartbeat)) is not CLOSE:
            yield b"".join(map(event, found)) or STILL_HERE

    def reads(self, request):
        """(the id of a session, whether a message follows that can be one)"""
        if request.path.strip("/") != "message":
            return None
        id = SESSION_ID.search(request.query)
        return id and id[1], is_json(request.header("Content-Type", ""))

    def post(self, request, said, _connection, quickly):
        """The reply to a message: 202, or a 4xx that says what was wrong; the session lives on."""
        id, has_json = said
        session = self._router.sessions.find(id)
        if session is None or session.transport != TRANSPORT:
            return plain(404, "No such session: it has ended, or never was. Open a new one with "
                              "GET /sse.")
        if quickly and not session.initialized:
            return BY_WORKER
        if not has_json:
            return plain(415, NO_JSON)
        try:
            self._router.handle(session, decode(request.body()), session.outbox)
        except InvalidMessage as problem:
            return json_error(400, problem.code, str(problem), problem.data)
        return ACCEPTED
