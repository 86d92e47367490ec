"""The start of the HTTP transport: listen, start the servers, and only then import Flask.

Importing Flask and waitress takes 0.1 s. The servers start meanwhile, and clients that come in
this time wait in the backlog of the listening sockets.
"""

import logging

log = logging.getLogger("router")

ONE_CLIENT = False


def serve(router, options):
    """Serve HTTP clients until a signal raises SystemExit. Called by the main thread.

    Raises CannotServe if the address is not to be had.
    """
    sockets = options.access.listen()
    url = options.access.url(sockets[0])
    has_live_page = not options.given["--no-live"]
    log.info("listening on %s%s", url, f" (see it work: {url}/live)" if has_live_page else "")
    router.start(url)
    from .server import Server
    Server(router, router.clock, options.access, sockets, has_live_page).run()
