"""HTTP: the Flask application, the waitress server under it, and the threads they need.

    MainThread     reads every request, and begins the POSTs that carry messages
    waitress-N     runs what may take long: a Flask view, `initialize`, a large message; or feeds
                   one open stream

Each open stream holds one waitress thread for as long as it lasts, so the number of threads
follows the number of streams: there are always some to spare.
"""

import logging
import threading

import flask
import waitress

from transports.fabric.session import SessionsUsedUp
from transports.http.engine.connection import LONG, MOST_UNSENT, ClientConnection
from transports.http.engine.sockets import Sockets
from transports.program.options import BACKLOG

from .access_check import AccessCheck
from .replies import BUG, plain, used_up
from .sse import HttpSse
from .streamable import StreamableHttp
from .streams import StreamsUsedUp

log = logging.getLogger("router")

SPARE_THREADS = 8
HEARTBEAT = 15.0            # seconds between signs of life on an idle stream


class StreamThreads:
    """How many streams are open, and the server's number of threads above that."""

    def __init__(self, most):
        self.most = most
        self.dispatcher = None  # waitress's; None also once the server is ending
        self._lock = threading.Lock()
        # protected by _lock:
        self._open = 0
        self._threads = SPARE_THREADS

    def open(self, channel, on_disconnect, refuse=True):
        """One more stream; on_disconnect() is called if its client vanishes.

        Raises StreamsUsedUp, if there may be a refusal. Whoever calls this calls `closed` later.
        """
        self._count(1, self.most if refuse else None)
        channel.on_disconnect = on_disconnect
        if not channel.connected:  # it vanished before the line above
            on_disconnect()

    def count(self):
        with self._lock:
            return self._open

    def closed(self):
        self._count(-1)

    def _count(self, change, most=None):
        with self._lock:
            if most is not None and self._open + change > most:
                raise StreamsUsedUp(f"{most} streams are open already.")
            self._open += change
            needed, before = self._open + SPARE_THREADS, self._threads
            # In steps: starting and stopping a thread for every stream would cost more.
            if needed > before or needed + 8 * SPARE_THREADS < before or (
                    self._open == 0 and before > 2 * SPARE_THREADS):
                self._threads = needed + SPARE_THREADS
            if self._threads != before and self.dispatcher:
                self.dispatcher.set_thread_count(self._threads)  # here, or an older count may win


class Posts:
    """The requests that carry a client's messages; they pass WSGI and Flask by."""

    def __init__(self, guard, sse, streamable_http):
        self._guard, self._sse, self._streamable_http = guard, sse, streamable_http

    def find(self, request):
        """The transport whose post() serves a request as waitress parsed it, or None: a view."""
        if request.error or request.command != "POST":
            return None
        path = request.path.lstrip("/")
        if path == "message":
            return self._sse
        return self._streamable_http if path == "mcp" or path.startswith("mcp/") else None

    def are_quick(self, request):
        """Whether MainThread may serve it: not `initialize`, which may start processes, nor what
        would hold up all others for long."""
        transport = self.find(request) if request.body_bytes_received <= LONG else None
        session = transport and transport.session_of(request)
        return session is not None and session.initialized

    def begin(self, transport, channel):
        """The reply to the request of this channel; None if the channel gets it later."""
        request = channel.requests[0]
        try:
            refused, channel.cors = self._guard.judge("POST", request.header)
            return refused or transport.post(request, channel)
        except Exception:  # a bug of ours
            log.exception("a POST failed")
            return BUG


def create_app(router, streams, *transports):
    """The Flask application: the views of every HTTP transport."""
    app = flask.Flask("router")
    for transport in transports:
        app.register_blueprint(transport.views())
    _explain_errors(app, router)

    @app.get("/health")
    def health():
        return {**router.health(), "streams": streams.count()}

    @app.get("/message")
    def not_a_post():
        return plain(405, "Use POST here.", ("Allow", "POST")).response()

    return app


def _explain_errors(app, router):
    """Every error is a sentence that says what to do."""
    @app.errorhandler(404)
    def unknown_path(_problem):
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            ["/mcp", "/sse", *(f"{way}/{name}" for way in ("/mcp", "/sse")
                               for name in router.names())])).response()

    @app.errorhandler(405)
    def wrong_method(problem):
        return plain(405, f"Use {' or '.join(problem.valid_methods or [])} here.").response()

    for problem in (StreamsUsedUp, SessionsUsedUp):
        app.register_error_handler(problem, lambda problem: used_up(problem).response())

    @app.errorhandler(500)
    def bug(_problem):
        return BUG.response()


class Server:
    """waitress, on sockets that listen already."""

    def __init__(self, router, clock, access, sockets):
        self._router, self._streams = router, StreamThreads(2 * router.limits.sessions)
        sse = HttpSse(router, self._streams, HEARTBEAT)
        streamable_http = StreamableHttp(router, clock, self._streams, HEARTBEAT)
        guard = AccessCheck(create_app(router, self._streams, sse, streamable_http), access)
        self._sockets = Sockets()
        # A body that is too large is answered with 413 by waitress, before it is read.
        self._server = waitress.create_server(
            guard, map=self._sockets, sockets=sockets, backlog=BACKLOG, threads=SPARE_THREADS,
            connection_limit=router.limits.make_room_for_connections(),
            channel_request_lookahead=1, max_request_body_size=router.limits.message, ident=None,
            outbuf_high_watermark=MOST_UNSENT, clear_untrusted_proxy_headers=True)
        for one in self._sockets.values():
            if one.accepting:  # several, where a name has several addresses
                one.channel_class, one.posts = ClientConnection, Posts(guard, sse, streamable_http)
        self._streams.dispatcher = self._server.task_dispatcher

    def run(self):
        """Serve until a signal raises SystemExit in the main thread."""
        try:
            self._sockets.loop()
        finally:
            self._streams.dispatcher = None
            # First the streams must end: waitress waits for the threads that feed them.
            for session in self._router.sessions.all():
                self._router.leave(session)
            self._server.task_dispatcher.shutdown()
            self._server.close()
