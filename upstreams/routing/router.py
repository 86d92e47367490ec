"""The switchboard: the sessions, and the way in for each message from a client."""

import logging

from transports.fabric.messages import SERVER_UNAVAILABLE
from transports.fabric.session import Session
from transports.program.options import Limits

from . import status
from .aggregate import Aggregate
from .from_client import FromClient, Handshake
from .sessions import Sessions, longest_silent
from .single import Single

VERSION = "0.1.0"
SERVER_INFO = {"name": "mcp-local-router", "title": "MCP Local Router", "version": VERSION}

log = logging.getLogger("router")


class Router:
    """What the transports are handed. They call open, handle and leave, from any thread.

    These don't wait for any answer: they send messages to Peers, and start processes. Messages
    from servers take their own way, see upstreams/server/from_server.py.
    """

    def __init__(self, pool, clock, limits=Limits(), report=lambda *args: None, groups=None):
        """`report(upstreams, urls, groups)` tells the user how these servers have started;
        `groups` is {name: [names of its servers]}."""
        self.pool, self._report, self.version = pool, report, VERSION
        self._urls = ()
        pool.make_room = self._make_room
        self.clock, self.limits = clock, limits
        self.sessions = Sessions(limits.sessions)
        self._aggregates = {}
        self.set_groups(groups or {})
        handshake = Handshake(pool, clock, self.sessions, report)
        self.handle = FromClient(pool, handshake.initialize).handle

    # -- called by the transports

    def names(self):
        """The names of the servers."""
        return list(self.pool.entries)

    def start(self, url="", paths=()):
        """Start the servers that clients share. HTTP clients find us at these paths of the URL."""
        self._urls = [url + path for path in paths]
        self.pool.start()
        self.tell()

    def open(self, transport, name=None, kind=Session):
        """A new session by this transport: of the server or group with this name, or of all.

        If there are too many, one that nobody seems to use ends for it. Raises LookupError for an
        unknown name, and SessionsUsedUp.
        """
        session = kind(self._surface(name), transport, name, self.limits.calls)
        while not self.sessions.add(session):
            other = self.sessions.longest_silent()
            log.warning("%s ends to make room: there are --max-sessions already", other.name)
            self.leave(other)
        log.debug("%s begins", session.name)
        return session

    def _surface(self, name):
        """What a session with this name sees. Raises LookupError."""
        if name in self._aggregates:
            return self._aggregates[name]
        if name in self.pool.entries:
            return Single(self.pool, name)
        groups = f"; groups: {', '.join(self.groups)}" if self.groups else ""
        raise LookupError(f"There is no server{' or group' if groups else ''} {name!r} here. "
                          f"There are: {', '.join(self.names())}{groups}")

    def leave(self, session):
        """The session ends: its calls are cancelled, its questions answered with an error."""
        if not self.sessions.remove(session):
            return
        for call in session.calls.close():
            call.fail(SERVER_UNAVAILABLE, "the session has ended")
            call.withdraw("the client has left")
        session.pending.close("the client has left")
        session.close_streams()
        self.pool.release(session)
        log.debug("%s ends", session.name)

    def tell(self):
        """Tell the user how the servers are, once they have started."""
        self._report([status.best_of(upstreams) for upstreams in self.pool.upstreams().values()
                      if upstreams], self._urls, self.groups)

    def set_groups(self, groups):
        """A session keeps its surface: a group that stays gets its servers of now."""
        aggregates = {}
        for name, names in {None: None, **groups}.items():
            aggregates[name] = self._aggregates.get(name) or Aggregate(
                self.pool, self.clock, SERVER_INFO, self.limits.list_wait)
            aggregates[name].group = names
        self._aggregates, self.groups = aggregates, groups

    def health(self):
        """What GET /health answers: the state of the servers, and how many sessions and calls."""
        sessions = self.sessions.all()
        return {"status": "ok", "version": VERSION, **status.health(self.pool),
                "groups": self.groups, "sessions": len(sessions),
                "callsInFlight": sum(len(session.calls) for session in sessions)}

    def _make_room(self, owners):
        """A call needs one more process, and there may be no more: one of these sessions ends, if
        its client has gone."""
        other = longest_silent(owners)
        if other:
            log.warning("%s ends to make room: there are --max-processes already", other.name)
            self.leave(other)
