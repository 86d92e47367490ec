"""Which process serves which session.

A legacy server over stdio does not say on whose behalf it asks or logs, and what it offers may
depend on what its client can be asked. So a server that may ask is never shared. A client that
can be asked gets processes of its own: they are initialized with exactly its capabilities, and
end with its session. All other clients use the shared processes, which are told that nobody can
be asked.
"""

import functools
import logging
import threading
import time

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused

from .upstream import Upstream

log = logging.getLogger("router")

CLOSE_SECONDS = 8.0     # for all servers together; the three steps of a process's end take 4
CAN_BE_ASKED = {"sampling", "elicitation", "roots"}


class Pool:
    """All upstreams: the shared ones by name, and those that belong to a session."""

    def __init__(self, entries, connect, clock, client_info, most_own=100, share=True):
        """`entries` as from config.load; `connect(entry, label)` makes a connection.

        `share` is False where there is only one client: then it owns every process.
        """
        self.entries = entries
        self._connect, self._clock, self._client_info = connect, clock, client_info
        self._most_own = most_own
        self.shared = {name: self._upstream(entry, name) for name, entry in entries.items()
                       if share and entry.shared is not False}
        self.share = share
        self._lock = threading.Lock()
        self._own = set()  # the upstreams that belong to a session; protected by _lock

    def _upstream(self, entry, label, owner=None):
        client = {"capabilities": owner.capabilities if owner else {},
                  "clientInfo": self._client_info}
        return Upstream(entry, functools.partial(self._connect, entry, label), self._clock,
                        client, owner)

    def start(self):
        """Start the shared servers, all at the same time."""
        for upstream in self.shared.values():
            upstream.start()

    def assign(self, session, names):
        """Give the session its upstreams, and start those that are its own.

        Raises Refused when that would be too many processes.
        """
        own = {name: self._upstream(self.entries[name], self._label(name, session), session)
               for name in names if self._is_own(self.entries[name], session)}
        with self._lock:
            self._own = {upstream for upstream in self._own if not upstream.ended()}
            if len(self._own) + len(own) > self._most_own:
                raise Refused(SERVER_UNAVAILABLE, (
                    f"{len(self._own)} server processes belong to clients already, and "
                    f"{self._most_own} are allowed: close a client, raise --max-processes, or "
                    'set "shared": true for servers that need not ask their user'))
            self._own.update(own.values())
        session.upstreams = {name: own.get(name) or self.shared[name] for name in names}
        for upstream in own.values():
            upstream.start()
        for upstream in session.upstreams.values():
            upstream.audience.join(session)

    def release(self, session):
        """The session has ended, and so do the processes that it owns. May be called twice."""
        for upstream in session.upstreams.values():
            upstream.audience.leave(session)
            if upstream.audience.owner is session:
                upstream.close()

    def own(self):
        """The upstreams that belong to sessions."""
        with self._lock:
            return [upstream for upstream in self._own if not upstream.ended()]

    def close(self):
        """End every server, all at the same time, and wait until they have ended."""
        with self._lock:
            upstreams = [*self.shared.values(), *self._own]
        deadline = time.monotonic() + CLOSE_SECONDS
        for upstream in upstreams:
            upstream.close()
        for upstream in upstreams:
            if not upstream.wait_closed(max(0.1, deadline - time.monotonic())):
                log.error('server "%s" has not ended', upstream.name)

    def _is_own(self, entry, session):
        """Whether the session gets a process of its own for this entry."""
        if not self.share:
            return True
        if entry.shared is not None:
            return not entry.shared
        return not CAN_BE_ASKED.isdisjoint(session.capabilities)

    def _label(self, name, session):
        return f"{name}@{session.id[:6]}" if self.share else name
