"""HTTP: the start of the server, and its end.

A client that closes its connection is seen at once. One that vanishes without that is found by the
heartbeat, which is never acknowledged: after about 15 minutes the system says that the connection
is broken. One that does not read ends after 30 seconds.

The end: a signal raises SystemExit in MainThread, out of the socket loop. Every session ends, with
its streams. No worker waits any more for a client that does not read. Last the sockets close."""

import functools

from transports.fabric.text import log

ONE_CLIENT = False
HEARTBEAT = 15.0            # seconds between signs of life on an idle stream
MOST_HEADER = 2**15         # bytes; what is longer is answered with 431
LOOK_SECONDS = 10.0         # how often connections are looked at, see ClientConnection.look


def serve(router, options):
    """Called by the main thread, where a signal raises SystemExit. Raises CannotServe, too."""
    listening = options.access.listen()
    url = options.access.url(listening[0])
    log.info("listening on %s%s", url,
             "".join(f" (see it work: {url}{path})" for path in options.pages))
    pages = [page(router) for page in options.pages.values()]  # they see how the servers start
    router.start(url, options.ways)
    Server(router, options, listening, pages).run()


class Server:
    """What all connections share."""

    def __init__(self, router, options, listening, pages):
        # Imported only now, which takes 0.1 s: the servers start meanwhile, and clients wait.
        from waitress.adjustments import Adjustments

        from .access_check import AccessCheck
        from .app import create_app
        from .connection import ClientConnection
        from .loop import Loop
        from .request import Request
        from .workers import Workers

        self._router = router
        self.workers = Workers(2 * router.limits.sessions)
        self.ways = [make(router, router.clock, self.workers, HEARTBEAT)
                     for make in options.ways.values()]
        self._pages = [make(self.workers, HEARTBEAT) for make in pages]
        files = {path for page in self._pages for path in page.open_paths()}
        self.application = create_app(router, self.workers, self.ways,
                                      [*self.ways, *self._pages], files)
        self._known = {}    # headers: see Request
        self.new_request = functools.partial(
            Request, AccessCheck(options.access, files).judge, self.ways, self._known,
            Adjustments(max_request_header_size=MOST_HEADER,
                        max_request_body_size=router.limits.message))   # else 413
        self.loop = Loop(listening, router.limits.make_room_for_connections(),
                         functools.partial(ClientConnection, self))
        self._look()

    def run(self):
        try:
            self.loop.run()
        except SystemExit:
            log.info("told to end by a signal: sessions and servers end now; a second signal ends "
                     "all at once")
            raise
        finally:
            for session in self._router.sessions.all():
                self._router.leave(session)
            for page in self._pages:
                page.close()
            for connection in list(self.loop.connections):
                connection.never_wait()
            self.workers.end()
            self.loop.close()

    def _look(self):
        self._router.clock.after(LOOK_SECONDS, self._look)
        self._known.clear()     # so that guards, which forget, hear again who comes
        for connection in list(self.loop.connections):
            connection.look()
