"""The switchboard: which sessions there are, what each sees, and the way in for its messages."""

import threading

from transports.fabric.messages import SERVER_UNAVAILABLE
from transports.fabric.session import SILENT_SECONDS, Session, UsedUp
from transports.fabric.text import is_told, log
from transports.program.options import Limits
from upstreams.server.life import CLOSING
from upstreams.server.lists import when_settled

from . import status
from .aggregate import Aggregate
from .from_client import FromClient
from .surface import Single

VERSION = "0.1.0"
SERVER_INFO = {"name": "mcp-local-router", "title": "MCP Local Router", "version": VERSION}


class Sessions:
    """The sessions that have not ended: {id: Session}."""

    def __init__(self, most):
        self._most = most
        self._lock = threading.Lock()
        self._sessions = {}  # protected by _lock

    def add(self, session):
        """False if there are as many as may be."""
        with self._lock:
            if len(self._sessions) < self._most:
                self._sessions[session.id] = session
            return session.id in self._sessions

    def remove(self, session):
        """True for the first to do so."""
        with self._lock:
            return self._sessions.pop(session.id, None) is not None

    def find(self, id):
        """The session with this id, or None."""
        return self._sessions.get(id)

    def all(self):
        with self._lock:
            return list(self._sessions.values())


class Router:
    """What the transports are handed. Any thread calls it, and it waits for no answer."""

    def __init__(self, pool, clock, limits=Limits(), show=lambda text: None, groups=None):
        """`show(text)` shows the user a table; `groups` is {name: [names of its servers]}."""
        self.pool, self.clock, self.limits, self.info = pool, clock, limits, SERVER_INFO
        pool.make_room = self._make_room
        self._show, self._urls, self._refused = show, (), 0
        self.logins = self.by_hand = None   # what users do on a page; router.py may set them
        self._aggregates = {}
        self.set_groups(groups or {})
        self.sessions = Sessions(limits.sessions)
        from_client = FromClient(pool, clock, self.sessions, self.tell)
        self.handle, self.when_opened = from_client.handle, from_client.when_opened

    # -- called by the transports

    def names(self):
        """The names of the servers."""
        return list(self.pool.entries)

    def start(self, url="", paths=()):
        """Start the servers that clients share. HTTP clients find us at these paths of the URL."""
        self._urls = url, paths
        self.pool.start()
        self.tell()

    def open(self, transport, name=None, kind=Session):
        """A new session by this transport: of the server or group with this name, or of all. One
        that nobody seems to use may end for it. Raises LookupError and UsedUp."""
        session = kind(self.surface(name), transport, name, self.limits.calls)
        while not self.sessions.add(session):
            there = self.sessions.all()
            if not self._make_room(there, "--max-sessions"):
                self._refused += 1
                idle = sum(not len(other.calls) for other in there)
                if is_told(self._refused):
                    log.warning("a new session was refused (no. %d): %d of the %d that "
                                "--max-sessions allows have no call, but their clients are there",
                                self._refused, idle, len(there))
                raise UsedUp("There are as many sessions as --max-sessions allows "
                             f"({len(there)}), and all of them are in use.")
        return session

    def surface(self, name):
        """What a session of this server, group or (None) all sees. Raises LookupError."""
        surface = self._aggregates.get(name)
        if surface is None and name in self.pool.entries:
            surface = Single(self.pool, name)
        if surface is None:
            groups = f"; groups: {', '.join(self.groups)}" if self.groups else ""
            raise LookupError(f"There is no server{' or group' if groups else ''} {name!r} here. "
                              f"There are: {', '.join(self.names())}{groups}")
        return surface

    def _make_room(self, sessions, option="--max-processes"):
        """End the one without a call, or with a parked one, that is silent longest, if any is."""
        silent = {session: session.seconds_silent() for session in sessions
                  if not len(session.calls) or session.is_parked}
        longest = max(silent, key=silent.get, default=None)
        if silent.get(longest, 0.0) < SILENT_SECONDS:
            return False
        self.leave(longest, f" to make room: there are as many as {option} allows")
        return True

    def leave(self, session, why=""):
        """The session ends: its calls are cancelled, its questions answered with an error."""
        if not self.sessions.remove(session):
            return
        for call in session.calls.close():
            call.fail(SERVER_UNAVAILABLE, "the session has ended")
            call.withdraw("the client has left")
        session.pending.close("the client has left")
        session.close_streams()
        self.pool.release(session)
        tell = log.info if session.initialized and not session.is_brief else log.debug
        (log.warning if why else tell)("%s ends%s", session.name, why)

    def health(self):
        """What GET /health answers: the state of the servers, and how many sessions and calls."""
        sessions = self.sessions.all()
        return {"status": "ok", "version": VERSION, "servers": status.health(self.pool),
                "groups": self.groups, "sessions": len(sessions),
                "callsInFlight": sum(len(session.calls) for session in sessions),
                "parkedCalls": sum(session.is_parked for session in sessions)}

    # -- also called when the config has changed

    def tell(self, names=None):
        """Show the table of these servers, or of all, when they have settled or are too slow."""
        best = [status.best_of(each) for name, each in self.pool.upstreams().items()
                if each and (names is None or name in names)]

        def show():
            there = [upstream for upstream in best if upstream.state != CLOSING]
            where = f"{status.where(*self._urls, self.groups)}\n" \
                if names is None and self._urls else ""
            if there:
                self._show(f"\n{status.table(there, is_logged=True)}\n{where}")
        when_settled(best, show, self.clock, status.PATIENCE)

    def set_groups(self, groups):
        """A session keeps its surface: a group that stays gets its servers of now."""
        aggregates = {}
        for name, names in {None: None, **groups}.items():
            aggregates[name] = self._aggregates.get(name) or Aggregate(
                self.pool, self.clock, SERVER_INFO, self.limits.list_wait)
            aggregates[name].group = names
        self._aggregates, self.groups = aggregates, groups
