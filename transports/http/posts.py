"""The requests that carry a client's messages.

They bypass WSGI and Flask; engine/connection.py says how, and why.
"""

import logging

from transports.http.engine.connection import LONG

from .replies import BUG

log = logging.getLogger("router")


class Posts:
    """Which requests carry messages, and the way of one to its transport."""

    def __init__(self, ways):
        self._ways = ways

    def find(self, request):
        """The transport whose `post` serves a request (a Parser); None if a view serves it."""
        if request.error or request.refused or request.command != "POST":
            return None
        return next((way for way in self._ways if way.takes(request.path)), None)

    def are_quick(self, request):
        """Whether MainThread may serve it: not `initialize`, which may start processes, and no
        message so long that it would hold up all other clients."""
        transport = self.find(request) if request.body_bytes_received <= LONG else None
        session = transport and transport.session_of(request)
        return session is not None and session.initialized

    def begin(self, transport, client_connection):
        """The Reply to the connection's request; None if the connection gets it later."""
        try:
            return transport.post(client_connection.requests[0], client_connection)
        except Exception:  # a bug of ours
            log.exception("a POST failed")
            return BUG
