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
from .replies import plain, used_up
from .session import SessionsUsedUp
from .streams import StreamsUsedUp

log = logging.getLogger("router")

SPARE_THREADS = 8
MOST_UNSENT = 2**20         # bytes for one slow client, before the thread that feeds it waits
HEARTBEAT = 15.0            # seconds between signs of life on an idle stream


class Streams:
    """The open streams: how many, and the server's number of threads above that."""

    def __init__(self, most):
        self.most = most
        self.dispatcher = None  # waitress's; None also once the server is ending
        self._lock = threading.Lock()
        # protected by _lock:
        self._open = 0
        self._threads = SPARE_THREADS

    def open(self, environ, on_disconnect):
        """One more stream; on_disconnect() is called if its client vanishes.

        Returns a function that ends the connection at once, whatever is still unsent. Raises
        StreamsUsedUp. Whoever calls this calls `closed` later.
        """
        self._count(1)
        channel = environ["waitress.client_disconnected"].__self__
        channel.on_disconnect = on_disconnect
        if not channel.connected:  # it vanished before the line above
            on_disconnect()
        return channel.abandon

    def count(self):
        with self._lock:
            return self._open

    def closed(self):
        self._count(-1)

    def _count(self, change):
        with self._lock:
            if self._open + change > self.most:
                raise StreamsUsedUp(f"{self.most} streams are open already.")
            self._open += change
            needed, before = self._open + SPARE_THREADS, self._threads
            # In steps: starting and stopping a thread for every single POST would cost more.
            if needed > before or needed + 8 * SPARE_THREADS < before or (
                    self._open == 0 and before > 2 * SPARE_THREADS):
                self._threads = needed + SPARE_THREADS
            if self._threads != before and self.dispatcher:
                self.dispatcher.set_thread_count(self._threads)  # here, or an older count may win


class Channel(waitress.channel.HTTPChannel):
    """waitress's end of a TCP connection, with an ear for the client hanging up, and no spinning.

    waitress's socket loop, in MainThread, asks every channel whether it has something to write.
    While a worker writes it has, but the loop cannot: the worker holds the lock. Without our
    `writable` the loop polls again and again meanwhile, and fights the worker for the interpreter.
    """

    on_disconnect = None

    def writable(self):
        if not self.outbuf_lock.acquire(False):
            return False
        self.outbuf_lock.release()
        return super().writable()

    def write_soon(self, data):
        written = super().write_soon(data)
        if self.total_outbufs_len:  # the loop may have looked while we held the lock
            self.server.pull_trigger()
        return written

    def readable(self):
        # A socket at its end is always readable: the loop would spin until the stream ends.
        return self.connected and super().readable()

    def handle_read(self):
        super().handle_read()
        if not self.connected and self.on_disconnect:
            self.on_disconnect()

    def abandon(self):
        """End the connection although its thread may wait for the client to read. Any thread."""
        with self.outbuf_lock:
            self.connected = False
            self.will_close = True
            self.outbuf_lock.notify_all()
        self.server.pull_trigger()


def create_app(router, clock, streams):
    """The WSGI application: the routes of every HTTP transport."""
    app = flask.Flask("router")
    app.register_blueprint(sse.blueprint(router, streams, HEARTBEAT))
    transport = streamable_http.StreamableHttp(router, clock, streams, HEARTBEAT)
    app.register_blueprint(streamable_http.blueprint(transport))
    _explain_errors(app, router)

    @app.get("/health")
    def health():
        return {**router.health(), "streams": streams.count()}

    @app.get("/message")
    def not_a_post():
        return plain(405, "Use POST here.", {"Allow": "POST"})

    def application(environ, start_response):
        """The routes that every message of a client takes pass Flask by, which costs more than
        all the rest of a call; what they do is no longer for it."""
        if environ["REQUEST_METHOD"] == "POST":
            path = environ["PATH_INFO"]
            if path == "/message":
                return sse.take_message(router, environ, start_response)
            if path == "/mcp" or path.startswith("/mcp/"):
                return transport.post(path[len("/mcp/"):] or None, environ, start_response)
        return app(environ, start_response)

    return application


def _explain_errors(app, router):
    """Every error is a sentence that says what to do."""
    @app.errorhandler(404)
    def unknown_path(_problem):
        return plain(404, "There is nothing here. Give your client one of: " + ", ".join(
            ["/mcp", "/sse", *(f"{way}/{name}" for way in ("/mcp", "/sse")
                               for name in router.names())]))

    @app.errorhandler(405)
    def wrong_method(problem):
        return plain(405, f"Use {' or '.join(problem.valid_methods or [])} here.")

    app.register_error_handler(StreamsUsedUp, used_up)
    app.register_error_handler(SessionsUsedUp, used_up)

    @app.errorhandler(500)
    def bug(_problem):
        return plain(500, "A bug in the router; its log says more.")


class Server:
    """waitress, listening from the moment this is made. Raises OSError where it cannot."""

    def __init__(self, router, clock, access):
        self._router, self._streams = router, Streams(2 * router.limits.sessions)
        host, port = access.host, access.port
        # A body that is too large is answered with 413 by waitress, before it is read.
        self._server = waitress.create_server(
            Guard(create_app(router, clock, self._streams), access),
            host=host, port=port, threads=SPARE_THREADS,
            connection_limit=4 * router.limits.sessions + 100, channel_request_lookahead=1,
            asyncore_use_poll=True, max_request_body_size=router.limits.message, ident=None,
            outbuf_high_watermark=MOST_UNSENT, clear_untrusted_proxy_headers=True)
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
        for session in self._router.sessions.all():
            self._router.leave(session)
        return self._shutdown(*arguments, **more)
