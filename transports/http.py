"""HTTP: the Flask application, the waitress server under it, and the threads they need.

Each open stream holds one waitress thread for as long as it lasts, so the number of threads
follows the number of streams: there are always some to spare, and a POST never waits for one.
"""

import logging
import threading

import flask
import waitress
import waitress.channel

from . import sse, streamable_http
from .guard import Guard
from .replies import plain

log = logging.getLogger("router")

SPARE_THREADS = 8
MOST_STREAMS = 1000
MAX_BODY = 64 * 2**20       # bytes of one POST
HEARTBEAT = 15.0            # seconds between signs of life on an idle stream


class StreamsUsedUp(Exception):
    """No further stream may be opened now; answered with 503."""


class Streams:
    """The open streams: how many, and the server's number of threads above that."""

    def __init__(self, most=MOST_STREAMS):
        self.most = most
        self.dispatcher = None  # waitress's; None also once the server is ending
        self._lock = threading.Lock()
        # protected by _lock:
        self._open = 0
        self._threads = SPARE_THREADS

    def open(self, environ, on_disconnect):
        """One more stream; on_disconnect() is called if its client vanishes.

        Raises StreamsUsedUp. Whoever calls this calls `closed` later.
        """
        self._count(1)
        channel = environ["waitress.client_disconnected"].__self__
        channel.on_disconnect = on_disconnect
        if not channel.connected:  # it vanished before the line above
            on_disconnect()

    def closed(self):
        self._count(-1)

    def _count(self, change):
        with self._lock:
            if self._open + change > self.most:
                raise StreamsUsedUp()
            self._open += change
            needed, before = self._open + SPARE_THREADS, self._threads
            # In steps: starting and stopping a thread for every single POST would cost more.
            if not before - 8 * SPARE_THREADS <= needed <= before:
                self._threads = needed + SPARE_THREADS
            threads = self._threads
        if threads != before and self.dispatcher:
            self.dispatcher.set_thread_count(threads)


class Channel(waitress.channel.HTTPChannel):
    """waitress's end of one TCP connection, with an ear for the client hanging up.

    Its methods run in MainThread, in waitress's socket loop.
    """

    on_disconnect = None

    def readable(self):
        # A socket at its end is always readable: the loop would spin until the stream ends.
        return self.connected and super().readable()

    def handle_read(self):
        super().handle_read()
        if not self.connected and self.on_disconnect:
            self.on_disconnect()


def create_app(router, clock, streams):
    """The Flask application: the routes of every HTTP transport."""
    app = flask.Flask("router")
    app.register_blueprint(sse.blueprint(router, streams, HEARTBEAT))
    app.register_blueprint(streamable_http.blueprint(router, clock, streams, HEARTBEAT))

    @app.errorhandler(404)
    def unknown_path(_problem):
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            ["/mcp", "/sse", *(f"{way}/{name}" for way in ("/mcp", "/sse")
                               for name in router.names())]))

    @app.errorhandler(405)
    def wrong_method(problem):
        return plain(405, f"Use {' or '.join(problem.valid_methods or [])} here.")

    @app.errorhandler(StreamsUsedUp)
    def used_up(_problem):
        return plain(503, f"{streams.most} streams are open already.", {"Retry-After": "5"})

    @app.errorhandler(500)
    def bug(_problem):
        return plain(500, "A bug in the router; its log says more.")

    return app


class Server:
    """waitress, listening from the moment this is made. Raises OSError where it cannot."""

    def __init__(self, router, clock, host, port):
        self._router = router
        self._streams = Streams()
        # MAX_BODY: waitress itself answers 413, before it has read the whole body.
        self._server = waitress.create_server(
            Guard(create_app(router, clock, self._streams), host),
            host=host, port=port, threads=SPARE_THREADS,
            connection_limit=2 * MOST_STREAMS, channel_request_lookahead=1,
            asyncore_use_poll=True, max_request_body_size=MAX_BODY, ident=None,
            clear_untrusted_proxy_headers=True)
        listening = getattr(self._server, "map", None)  # a name with several addresses
        for server in listening.values() if listening else [self._server]:
            server.channel_class = Channel
        if listening:
            port = self._server.effective_listen[0][1]
        else:
            port = self._server.effective_port
        dispatcher = self._streams.dispatcher = self._server.task_dispatcher
        self._shutdown, dispatcher.shutdown = dispatcher.shutdown, self._end
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self):
        """Serve until a signal raises SystemExit in the main thread."""
        log.info("listening on %s", self.url)
        self._server.run()
        self._server.close()

    def _end(self, *arguments, **more):
        """Called by waitress in place of its dispatcher's shutdown, which waits for all threads:
        so first the streams must end that they feed."""
        self._streams.dispatcher = None
        for session in self._router.sessions():
            self._router.leave(session)
        return self._shutdown(*arguments, **more)
