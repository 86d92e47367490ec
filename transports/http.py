"""HTTP: the Flask application, the waitress server under it, and the threads they need.

Each open stream holds one waitress thread for as long as it lasts, so the number of threads
follows the number of streams: there are always some to spare, and a POST never waits for one.
"""

import logging
import threading

import flask
import waitress
import waitress.channel

from . import sse
from .signals import end_on_signals

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
        self._open = 0  # protected by _lock

    def open(self, environ, outbox):
        """One more stream, fed from this outbox, which is closed if the client vanishes.

        Raises StreamsUsedUp. Whoever calls this calls `closed` later.
        """
        self._count(1)
        channel = environ["waitress.client_disconnected"].__self__
        channel.on_disconnect = outbox.close
        if not channel.connected:  # it vanished before the line above
            outbox.close()

    def closed(self):
        self._count(-1)

    def _count(self, change):
        with self._lock:
            if self._open + change > self.most:
                raise StreamsUsedUp()
            self._open += change
            threads = self._open + SPARE_THREADS
        if self.dispatcher:
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


def create_app(router, streams):
    """The Flask application: the routes of every HTTP transport."""
    app = flask.Flask("router")
    app.register_blueprint(sse.blueprint(router, streams, HEARTBEAT))

    @app.errorhandler(404)
    def unknown_path(_problem):
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            ["/sse", *(f"/sse/{name}" for name in router.names())]))

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


def plain(status, text, headers=None):
    """A response for people to read."""
    return flask.Response(text + "\n", status, {**(headers or {}),
                                                "Content-Type": "text/plain; charset=utf-8"})


class Server:
    """waitress, listening from the moment this is made. Raises OSError where it cannot."""

    def __init__(self, router, host, port):
        self._router = router
        self._streams = Streams()
        # MAX_BODY: waitress itself answers 413, before it has read the whole body.
        self._server = waitress.create_server(
            create_app(router, self._streams), host=host, port=port, threads=SPARE_THREADS,
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
        self._streams.dispatcher = self._server.task_dispatcher
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def run(self):
        """Serve until a signal raises SystemExit in the main thread."""
        end_on_signals(self._end_streams)
        log.info("listening on %s", self.url)
        self._server.run()
        self._server.close()
        for session in self._router.sessions():
            self._router.leave(session)

    def _end_streams(self):
        """The first thing at the end: waitress waits for the threads that feed streams."""
        self._streams.dispatcher = None
        for session in self._router.sessions():
            session.outbox.close()
