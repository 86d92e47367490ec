"""The start of the HTTP transport: listen, start the servers, and only then import Flask.

Importing Flask and waitress takes 0.1 s. The servers start meanwhile, and clients that come in
this time wait in the backlog of the listening sockets.
"""

import logging

log = logging.getLogger("router")

ONE_CLIENT = False


def http_sse(*arguments):
    """See HttpSse in sse.py."""
    from .sse import HttpSse
    return HttpSse(*arguments)


def serve(router, options):
    """Serve HTTP clients until a signal raises SystemExit. Called by the main thread.

    Raises CannotServe if the address is not to be had.
    """
    sockets = options.access.listen()
    url = options.access.url(sockets[0])
    log.info("listening on %s%s", url,
             "".join(f" (see it work: {url}{path})" for path in options.pages))
    router.start(url, options.ways)
    from .server import Server
    Server(router, router.clock, options, sockets).run()
