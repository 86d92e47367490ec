"""HTTP: waitress, put together with our connections, and its end.

    MainThread     reads every request, and begins the POSTs that carry messages
    waitress-N     runs what may take long: a Flask view, `initialize`, a large message; or feeds
                   one open stream

A client that closes its connection is seen by MainThread at once. One that vanishes without that
(a laptop that sleeps, a cable) is found by the heartbeat: what is written to an idle stream is
never acknowledged, and in the end the system says that the connection is broken. A POST that
waits in silence becomes a stream, so that holds for it too. One that stays, but does not read
what we send, is ended as well: it would keep its bytes here, and a worker if it is a stream.

The end: a signal raises SystemExit in MainThread, out of the socket loop. Then

    1. no worker is started or stopped for the sake of streams any more
    2. every session ends: its calls are answered with an error, its streams are closed; so are
       those of pages
    3. no worker waits any more for a client that does not read: without the loop, what is unsent
       stays here
    4. so the workers that feed streams return from their views, and are idle
    5. waitress ends its workers and waits up to five seconds for them. A worker that still fed a
       stream would cost all five; that is why steps 2 and 3 come first
    6. the sockets that listen are closed; the others close with the process
"""

import functools

import waitress

from transports.http.engine.connection import MOST_UNSENT, ClientConnection
from transports.http.engine.parser import Parser
from transports.http.engine.sockets import Sockets
from transports.http.engine.workers import Workers
from transports.program.options import BACKLOG

from .access_check import AccessCheck
from .app import create_app
from .posts import Posts
from .stream_threads import SPARE_THREADS, StreamThreads

HEARTBEAT = 15.0            # seconds between signs of life on an idle stream
MOST_HEADER = 2**15         # bytes; what is longer is answered with 431
STUCK, LOOKS = 30.0, 3      # seconds without progress that end a connection; looks in that time


class Server:
    """waitress, on sockets that listen already."""

    def __init__(self, router, clock, options, sockets):
        self._router, self._clock = router, clock
        self._stream_threads = StreamThreads(2 * router.limits.sessions)
        ways = [make(router, clock, self._stream_threads, HEARTBEAT)
                for make in options.ways.values()]
        self._pages = [make(router, self._stream_threads, HEARTBEAT)
                       for make in options.pages.values()]
        open_paths = {path for page in self._pages for path in page.open_paths()}
        new_parser = functools.partial(Parser, AccessCheck(options.access, open_paths).judge, {})
        self._sockets = Sockets()
        workers = self._stream_threads.dispatcher = Workers()
        workers.set_thread_count(SPARE_THREADS)
        # A body that is too large is answered with 413 by waitress, before it is read.
        self._server = waitress.create_server(
            create_app(router, self._stream_threads, ways, self._pages),
            map=self._sockets, sockets=sockets, backlog=BACKLOG, _dispatcher=workers,
            connection_limit=router.limits.make_room_for_connections(),
            channel_request_lookahead=1, max_request_header_size=MOST_HEADER,
            max_request_body_size=router.limits.message, ident=None,
            outbuf_high_watermark=MOST_UNSENT, clear_untrusted_proxy_headers=True)
        for one in self._sockets.values():
            if one.accepting:  # several, if a name has several addresses
                one.channel_class = ClientConnection
                one.new_parser, one.posts = new_parser, Posts(ways)
        self._look()

    def run(self):
        """Serve until a signal raises SystemExit in the main thread."""
        try:
            self._sockets.loop()
        finally:
            self._stream_threads.dispatcher = None
            for session in self._router.sessions.all():
                self._router.leave(session)
            for page in self._pages:
                page.close()
            self._let_no_worker_wait()
            self._server.task_dispatcher.shutdown()
            self._server.close()

    def _look(self):
        """End what is stuck. Called by the clock."""
        self._clock.after(STUCK / LOOKS, self._look)
        for one in self._client_connections():
            one.look(LOOKS)

    def _client_connections(self):
        return [one for one in list(self._sockets.values()) if isinstance(one, ClientConnection)]

    def _let_no_worker_wait(self):
        """No worker waits from now on (the mark), and none goes on waiting (disconnect)."""
        self._server.adj.outbuf_high_watermark = float("inf")
        for one in self._client_connections():
            if one.total_outbufs_len > MOST_UNSENT:
                one.disconnect()
