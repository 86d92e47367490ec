"""The switchboard: the sessions, and the way in for each message from a client."""

import logging

from transports.fabric.messages import SERVER_UNAVAILABLE
from transports.fabric.outbox import Outbox
from transports.fabric.session import Session
from transports.program.options import Limits

from . import status
from .aggregate import Aggregate
from .from_client import FromClient
from .handshake import Handshake
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
        self._pool, self._report, self.version = pool, report, VERSION
        self._urls = ()
        pool.make_room = self._make_room
        self.clock, self.limits = clock, limits
        self.sessions = Sessions(limits.sessions)
        self._aggregates = {}
        self._set_groups(groups or {})
        handshake = Handshake(pool, clock, self.sessions, report)
        self.handle = FromClient(pool, handshake).handle

    # -- called by the transports

    def names(self):
        """The names of the servers."""
        return list(self._pool.entries)

    def start(self, url="", paths=()):
        """Start the servers that clients share. HTTP clients find us at these paths of the URL."""
        self._urls = [url + path for path in paths]
        self._pool.start()
        self._tell()

    def open(self, transport, name=None, make_outbox=Outbox):
        """A new session by this transport: of the server or group with this name, or of all.

        If there are too many, one that nobody seems to use ends for it. Raises LookupError for an
        unknown name, and SessionsUsedUp.
        """
        session = Session(self._surface(name), transport, name, make_outbox, self.limits.calls)
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
        if name in self._pool.entries:
            return Single(self._pool, name)
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
        self._pool.release(session)
        log.debug("%s ends", session.name)

    def reload(self, config):
        """These are the servers and groups from now on. A session of a single server, or of a
        group, that is gone ends. Called by the thread `reload`."""
        groups = self.groups
        self._set_groups(config.groups)
        new, gone, changed = self._pool.reload(config.entries)
        over = [*gone, *(name for name in groups if name not in config.groups)]
        for session in self.sessions.all():
            if session.surface_name in over:
                log.info('%s ends: "%s" is not in the config any more', session.name,
                         session.surface_name)
                self.leave(session)
        done = [f"{what}: {', '.join(names)}" for what, names in (
            ("new", new), ("gone", gone), ("started again", changed),
            ("groups", [] if groups == config.groups else config.groups or ["none"])) if names]
        log.info("the config was read again: %s", "; ".join(done) or "nothing has changed")
        if done:
            self._tell()

    def _tell(self):
        """Tell the user how the servers are, once they have started."""
        self._report([upstream for server in self._pool.upstreams().values()
                      for upstream in server], self._urls, self.groups)

    def _set_groups(self, groups):
        """A session keeps its surface: a group that stays gets its servers of now."""
        aggregates = {}
        for name, names in {None: None, **groups}.items():
            aggregates[name] = self._aggregates.get(name) or Aggregate(
                self._pool, self.clock, SERVER_INFO, self.limits.list_wait)
            aggregates[name].group = names
        self._aggregates, self.groups = aggregates, groups

    def health(self):
        """What GET /health answers: the state of the servers, and how many sessions and calls."""
        sessions = self.sessions.all()
        return {"status": "ok", "version": VERSION, **status.health(self._pool),
                "groups": self.groups, "sessions": len(sessions),
                "callsInFlight": sum(len(session.calls) for session in sessions)}

    def live_state(self):
        """What the live page shows beside the messages."""
        return {"servers": status.live(self._pool),
                "sessions": [session.describe() for session in self.sessions.all()]}

    def _make_room(self, name):
        """A call needs one more process of this server, and there may be no more: a session that
        owns one ends, if its client has gone. The only process of another server makes no room.
        """
        owners = {upstream.use.owner for server, upstreams in self._pool.upstreams().items()
                  for upstream in upstreams if server == name or len(upstreams) > 1}
        other = longest_silent(owners - {None})
        if other:
            log.warning("%s ends to make room: there are --max-processes already", other.name)
            self.leave(other)
