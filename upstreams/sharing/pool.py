"""Which process serves which session.

A legacy server over stdio does not say on whose behalf it asks or logs, and it may keep in its
process what it has learned of its client: a browser, a shell, a project. So processes are handed
to sessions by the rules in kinds.py. The pool answers two questions:

    session.upstreams[name]     the process that lists for the session; it may change at any time
    run(…)                      the process that runs a call: now, when it is up, or when it is
                                this call's turn. No thread waits for that
"""

import functools
import logging
import threading
import time

from transports.fabric.messages import INVALID_REQUEST, Refused
from upstreams.server.audience import lists_changed
from upstreams.server.legacy import AUTO
from upstreams.server.life import RUNNING

from .kinds import COMMON
from .processes import Processes
from .reload import Reload
from .turns import Turns

log = logging.getLogger("router")

CLOSE_SECONDS = 8.0     # for all servers together; the three steps of a process's end take 4
SLOW_START = 10.0       # seconds, after which a start does not count among those at once
LOOK_AGAIN = 0.05       # seconds, while a process is ending or waits to start


class Pool:
    """All processes. Any thread may call anything here."""

    def __init__(self, entries, connect, clock, client_info, limit=100, share=True,
                 open_life=None):
        """`entries` as from config.load; `connect(entry, label)` makes a connection.

        `limit` is for the processes beside the first one of each server. `share` is
        False if there is only one client: then it owns every process from the start.
        `open_life` opens the lives of servers in another way than server/opening.py does.
        """
        self.share = share
        self.make_room = lambda name: None  # for a process of this server; the Router sets it
        self._clock = clock
        self.lock = threading.Lock()
        # protected by lock:
        self._processes = Processes(entries, connect, clock, client_info, limit, share,
                                    open_life)
        self.sessions = {}      # {session: None} that see servers
        self._tending = self._changed = self._tick_planned = False
        self._turns = Turns(self, self._processes, clock)
        self.run = self._turns.run                      # a call, on its way to a process
        self.answered_late = self._turns.answered_late
        self.reload = Reload(self, self._processes, clock).reload

    # -- what the router, the surfaces and the upstreams want

    @property
    def entries(self):
        """{name: Entry} of the servers that there are now, in the config's order."""
        return self._processes.entries

    def start(self, names=None):
        """Start a process of each of these servers that has none, or of all servers, for clients
        that can be asked nothing."""
        nothing = self._processes.digest({})
        with self.lock:
            there = {upstream.name for upstream in self._processes.all()}
            for name in self.entries if names is None else names:
                if self.share and name not in there:
                    self.new(self._processes.kind(name, *nothing), None)
        self.changed()

    def join(self, session):
        """The session sees the servers of its surface from now on; what it needs to list them is
        started. Raises Refused if one of them is not in the config any more."""
        key = self._processes.digest(session.capabilities)
        with self.lock:
            names = session.surface.names(list(self.entries))
            for name in set(names) - self.entries.keys():
                raise Refused(INVALID_REQUEST, f'there is no server "{name}" any more')
            self.sessions[session] = None
            session.upstreams = {name: self.lister(session, name, key) for name in names}
        for upstream in session.upstreams.values():
            upstream.audience.join(session)
        self.changed()

    def asked_by(self, upstream):
        """The session that a question of this process is for, or None.

        A process that asks before anybody called belongs to the session that it was started for.
        """
        if not upstream.use.kind.can_ask:
            return None
        with self.lock:
            kind = upstream.use.kind
            if not (upstream.use.owner or upstream.use.holder or upstream.use.used):
                candidates = [session for session in kind.sessions if not kind.of(session)]
                first = upstream.use.started_for
                upstream.use.owner = first if first in candidates else next(iter(candidates), None)
            session = upstream.use.owner or upstream.use.holder
            return session if session in kind.sessions else None

    def own(self, upstream, session):
        """The process has learned something of this session: from now on it serves no other."""
        kind = upstream.use.kind
        with self.lock:
            if (kind.policy is COMMON or upstream.use.owner or upstream not in kind.upstreams
                    or session not in kind.sessions):
                return
            upstream.use.owner = session
        self._look_again(session, kind)

    def protocol_of(self, entry):
        """By what the next life of this server is to be opened: "auto", "legacy" or "modern"."""
        known = self._processes.era_of(entry) or AUTO
        return AUTO if entry in self._processes.doubted and entry.protocol == AUTO else known

    def has_run(self, entry):
        """Whether a life of this server ever got as far as to have an era."""
        return entry in self._processes.eras

    def forget_era(self, entry):
        """The next life of this server is asked again for its era. It moves nobody."""
        with self.lock:
            if self._processes.era_of(entry) and self._processes.open_life:
                self._processes.doubted.add(entry)

    def is_of_era(self, upstream, era):
        """The era of this life has become known. If the one before was another, look again which
        process serves whom."""
        entry, processes = upstream.entry, self._processes
        with self.lock:
            if self.entries.get(entry.name) != entry:
                return
            before, processes.eras[entry] = processes.era_of(entry), era
            processes.doubted.discard(entry)
            if before == processes.era_of(entry):
                return
            placed = [(session, kind) for kind in processes.kinds.values()
                      if kind.entry == entry for session in kind.sessions]
        over = []
        for session, kind in placed:
            self._look_again(session, kind)
            with self.lock:
                if session not in kind.sessions and session in self.sessions:
                    over += processes.leave(session, kind)
        for each in over:
            each.close()
        self.changed()

    def owned(self, session):
        """The processes that the session owns or holds."""
        with self.lock:
            return [upstream for upstream in self._processes.all()
                    if session in (upstream.use.owner, upstream.use.holder)]

    def release(self, session, upstreams=None):
        """The session has ended, or does not see these any more, where it listed before. The
        processes that it owns there end. May be called twice."""
        audiences, over, orphans = [], [], []
        with self.lock:
            if upstreams is None:
                self.sessions.pop(session, None)
                upstreams = session.upstreams.values()
            for kind in [upstream.use.kind for upstream in upstreams]:
                audiences += [upstream.audience for upstream in kind.upstreams]
                ending = self._processes.leave(session, kind)
                orphans += [(other, kind) for other in kind.sessions
                            if other.upstreams.get(kind.entry.name) in ending]
                over += ending
        for audience in audiences:
            audience.leave(session)
        for other, kind in orphans:  # before its process ends: what it asks there is asked again
            self._look_again(other, kind, tell=True)
        for upstream in over:
            upstream.close()
        self.changed()

    def upstreams(self):
        """{server: [upstream]}, in the config's order, without those that were told to end."""
        with self.lock:
            upstreams = self._processes.all()
        return {name: [upstream for upstream in upstreams if upstream.name == name]
                for name in self.entries}

    def close(self):
        """End every server, all at the same time, and wait until they have ended."""
        with self.lock:
            upstreams = [*self._processes.all(), *self._processes.ending]
            self._processes.to_start.clear()
        deadline = time.monotonic() + CLOSE_SECONDS
        for upstream in upstreams:
            upstream.close()
        for upstream in upstreams:
            if not upstream.wait_closed(max(0.1, deadline - time.monotonic())):
                log.error('server "%s" has not ended', upstream.name)

    # -- the lives of servers

    def retire(self, upstream):
        """This process must not serve another session: it ends."""
        kind = upstream.use.kind
        with self.lock:
            if upstream not in kind.upstreams:
                return
            self._processes.forget(upstream)
        self._close(upstream)
        self.changed()

    def stops(self, upstream):
        """Whether a server that has ended is not to be started again, since nobody uses it."""
        with self.lock:
            upstream.restarts.stopped = not (upstream.use.owner or upstream.use.kind.sessions)
            return upstream.restarts.stopped

    def start_again(self, upstream):
        """It is to be started again as soon as it may. Called by the clock."""
        with self.lock:
            if upstream in upstream.use.kind.upstreams:
                self._processes.to_start.append(upstream)
        self.changed()

    def failed(self, upstream):
        """A server has ended by itself. Sessions that list from it list from another one."""
        kind = upstream.use.kind
        with self.lock:
            orphans = [session for session in kind.sessions
                       if session.upstreams.get(upstream.name) is upstream
                       and kind.lister(session) not in (upstream, None)]
        for session in orphans:
            self._look_again(session, kind, tell=True)
        self._turns.died(upstream)
        self.changed()

    # -- what follows from a change

    def new(self, kind, session):
        return self._processes.new(self, kind, session)

    def lister(self, session, name, key):
        """The process of this server that lists for the session from now on; it is made if there
        is none. Requires the lock."""
        kind = self._processes.kind(name, *key)
        kind.sessions[session] = None
        upstream = kind.lister(session) or self.new(kind, session)
        if not self.share:
            upstream.use.owner = session
        return upstream

    def changed(self):
        """Start what may start and hand out what is free, until nothing changes any more.

        One thread does it at a time; a thread that comes meanwhile leaves its work to that.
        """
        with self.lock:
            self._changed = True
            if self._tending:
                return
            self._tending = True
        while True:
            with self.lock:
                if not self._changed:
                    self._tending = False
                    tick = not self._tick_planned and bool(
                        self._processes.ending or self._processes.to_start)
                    self._tick_planned = self._tick_planned or tick
                    break
                self._changed = False
            try:
                self._tend_once()
            except Exception:  # a bug of ours must not stop the pool for good
                log.exception("a change of the processes failed")
        if tick:
            self._clock.after(LOOK_AGAIN, self._tick)

    def _tend_once(self):
        processes = self._processes
        ended = [upstream for upstream in list(processes.ending) if upstream.wait_closed(0)]
        with self.lock:
            processes.ending = [each for each in processes.ending if each not in ended]
            starts, unused = processes.next_to_start()
            served = self._turns.hand_out()
            if not (starts or served):
                unused += processes.in_the_way()
            for upstream in unused:
                processes.forget(upstream)
            unused, processes.replaced = [*unused, *processes.replaced], []
            self._changed = bool(self._changed or ended or starts or unused or served)
        for upstream in unused:
            self._close(upstream)
        if starts:
            starts.start()
            slow = self._clock.after(SLOW_START, self._started, starts)
            starts.when_settled(functools.partial(self._settled, starts, slow))
        for upstream, turn in served:
            self._turns.begin_served(upstream, turn)

    def _close(self, upstream):
        """End a process that is forgotten already. Sessions that list from it look elsewhere."""
        for session in list(upstream.audience.sessions()):
            if session.upstreams.get(upstream.name) is upstream:
                self._look_again(session, upstream.use.kind, tell=True)
        upstream.close()

    def _tick(self):
        """Called by the clock."""
        with self.lock:
            self._tick_planned = False
        self.changed()

    def _settled(self, upstream, slow):
        """It is up, or could not be started. Its owner lists from it from now on."""
        self._clock.forget(slow)
        owner = upstream.use.owner
        if owner and upstream.state == RUNNING:
            self._look_again(owner, upstream.use.kind)
        self._turns.has_started(upstream)
        self._started(upstream)

    def _started(self, upstream):
        """It does not count any more among those that start at once."""
        with self.lock:
            self._processes.starting.discard(upstream)
        self.changed()

    def _look_again(self, session, kind, tell=False):
        """Let the session list from the process that is the best for it now.

        With `tell`, it is told that its lists may have changed, if that process is up already.
        """
        name, key = kind.entry.name, self._processes.digest(session.capabilities)
        with self.lock:
            if session not in kind.sessions:
                return
            before = session.upstreams[name]
            kind.sessions.pop(session, None)
            upstream = self.lister(session, name, key)
            session.upstreams = {**session.upstreams, name: upstream}
        if before is upstream:
            return
        self.arrive(session, upstream, before.audience.leave(session))
        if tell and upstream.state == RUNNING:
            lists_changed(session, upstream.offered)

    def arrive(self, session, upstream, uris):
        """It lists for the session from now on, which is subscribed to these URIs there."""
        upstream.audience.join(session, uris)
        if session not in upstream.use.kind.sessions or session.upstreams.get(
                upstream.name) is not upstream:  # it has left meanwhile
            upstream.audience.leave(session)
