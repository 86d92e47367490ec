"""The processes: it makes, starts and ends them as plan.py decides, and hands them to calls.

The tables have one lock. Nothing is sent, started or ended while it is held."""

import functools
import itertools
import os
import threading

from transports.fabric.text import log
from upstreams.server.audience import lists_changed
from upstreams.server.life import RESTING, RUNNING, STARTING
from upstreams.server.upstream import Upstream

from .plan import END, GIVE, NEW, REST, START, WANT, note_awaited, plan
from .tables import BRIEF, OWN, PLAIN, TURNS, UP, Server, Tables, Use, refresh

STARTS_AT_ONCE = 2 * (os.cpu_count() or 1)
SLOW_START = 10.0       # seconds, after which a start does not count among those at once
LOOK_AGAIN = 0.05       # seconds, while a process is ending or waits to start
QUESTION_LOOKS = 40     # of LOOK_AGAIN, while the first call waits for answers to the server
DIGEST_SECONDS = 0.3    # after these, for the server to make use of them


class Processes:
    """What the Pool is made of. Its methods that say so require the lock."""

    def __init__(self, entries, connect, clock, client_info, limit=100, share=True,
                 open_life=None):
        """`connect(entry, label)` makes a connection. `limit`: for processes beside the first of
        each server. `share`: False if one client owns every process from the start. `open_life`
        opens the lives of servers in another way than server/legacy.py does."""
        self.share, self.has_eras = share, open_life is not None
        self.entries = {}       # {name: Entry}, in the config's order; replaced by one assignment
        self.make_room = lambda sessions: None      # one of these is to end; the Router sets it
        self.recall = lambda use: False     # whether it need not start; a room may set it
        self.watch = None       # sees the answers of calls, see Surface.call; router.py sets it
        self.clock, self.numbers = clock, itertools.count(1)
        self._connect, self._client_info, self._open_life = connect, client_info, open_life
        self.lock = threading.Lock()
        # protected by lock:
        self.tables = Tables(limit)
        self.sessions = {}      # {session: its key} that see servers
        self._look = []         # (sessions, Server, whether they are told that it lists otherwise)
        self._begun = threading.local()     # its `here`: whether this thread begins waiting calls
        self._tending = self._changed = self._tick_planned = self.closed = False
        self.replace(entries)

    # -- carrying out the plan

    def changed(self):
        """Carry out the plan to its end. One thread does so; others leave their work to it."""
        with self.lock:
            self._changed = True
            if self._tending:
                return
            self._tending = True
        while True:
            with self.lock:
                if not self._changed:
                    self._tending = False
                    tick = not self._tick_planned and (
                        any(use.wanted for use in self.tables.uses())
                        or any(server.ending for server in self.all_servers()))
                    self._tick_planned = self._tick_planned or tick
                    break
                self._changed = False
            try:
                self._tend_once()
            except Exception:  # a bug of ours must not stop the pool for good
                log.exception("a change of the processes failed")
        if tick:
            self.clock.after(LOOK_AGAIN, self._tick)

    def _tick(self):
        """Called by the clock."""
        with self.lock:
            self._tick_planned = False
        self.changed()

    def _tend_once(self):
        with self.lock:
            ending = [life for server in self.all_servers() for life in server.ending]
        ended = {life for life in ending if not life.connection or life.connection.join(0)}
        with self.lock:
            for server in self.all_servers():
                server.ending[:] = [life for life in server.ending if life not in ended]
            self.tables.gone = [server for server in self.tables.gone if server.ending]
            refresh(self.tables.uses())
            steps = [] if self.closed else plan(self.tables, STARTS_AT_ONCE)
            if not steps:
                note_awaited(self.tables)
            effects = [self._apply(step) for step in steps]
            look, self._look = self._look, []
            self._changed = bool(self._changed or ended or steps or look)
        for sessions, server, tell in look:
            for session in sessions:
                self._list_elsewhere(session, server, tell)
        for effect in filter(None, effects):
            try:
                effect()
            except Exception:  # a bug of ours must not stop the other processes
                log.exception("a change of the processes failed")

    def _apply(self, step):
        """Write a step into the tables; returns what is to be done without the lock, or None."""
        what, use, session = step
        if what is NEW:
            server, key = use
            use = self._make(server, key, session)
            use.owner = session if server.policy(key) is OWN else None
        if what in (NEW, WANT):
            self.want(use)
        if what is GIVE:
            key = use.server.sessions[session]
            calls = use.server.waiting[key].pop(session)
            self.give(use, session, use.server.policy(key), calls)
            return functools.partial(self.begin, use, calls)
        if what is START:
            use.begin()
        if what is END:
            self.forget(use)
        effect = {START: self._start, REST: self._rest, END: self._close}.get(what)
        return effect and functools.partial(effect, use)

    def _start(self, use):
        if self.recall(use):    # only its lists were wanted, and they are known
            self._rest(use)
            self._started(use)
            return
        use.upstream.problem = None
        use.upstream.start()
        slow = self.clock.after(SLOW_START, self._started, use)
        use.upstream.when_settled(functools.partial(self._settled, use, slow))

    def _started(self, use):
        """It does not count any more among those that start at once."""
        with self.lock:
            use.counts = False
        self.changed()

    def _settled(self, use, slow):
        """It is up, or could not be started."""
        self.clock.forget(slow)
        with self.lock:
            if use.upstream.state == RUNNING:
                use.server.has_run = True
                self._compare(use)
                self.look_again([use.owner] if use.owner else [
                    session for session, key in use.server.sessions.items() if key == use.key],
                    use.server)
        if use.upstream.state == RUNNING:
            self._get_ready(use, use.upstream.life)
            self.look_if_idle(use)
        self._started(use)

    def _get_ready(self, use, life, looks=QUESTION_LOOKS):
        """The first call waits for the answers to what the process has asked, mostly for roots."""
        more = looks and len(life.calls)
        if use.asked and looks is not None:
            looks = looks - (not (use.owner and use.owner.is_parked)) if more else None
            self.clock.after(LOOK_AGAIN if more else DIGEST_SECONDS, self._get_ready, use, life,
                             looks)
        elif use.upstream.life is life:
            use.ready = True
            self.changed()

    def _compare(self, use):
        """If it lists otherwise than with empty capabilities, these are why. Requires the lock."""
        server, names = use.server, use.upstream.catalog.names()
        lister = server.listers.get(use.key)
        if lister and lister is not use and not lister.upstream.info:
            lister.upstream.remember(use.upstream)
        if use.upstream.unlisted:
            return  # who knows
        if not use.can_ask:
            server.plain_names = names
        elif server.plain_names not in (None, names) and not server.lists_by_capabilities:
            log.info('server "%s" lists by what its clients can be asked', server.entry.name)
            server.lists_by_capabilities = True
            self.look_again(list(server.sessions), server, True)

    def _rest(self, use):
        life = use.upstream.rest()
        with self.lock:
            if life and use.tired and use.upstream.audience.uris():     # since it was planned
                self.want(use)
            use.tired = False
            use.server.ending += [life] if life else []     # else it has something to do now

    def _close(self, use):
        """End a process that is forgotten already. Sessions that list from it look elsewhere."""
        for session in list(use.listeners):
            self._list_elsewhere(session, use.server, True)
        use.upstream.close()

    # -- the tables. All of this requires the lock

    def all_servers(self):
        return [*self.tables.servers.values(), *self.tables.gone]

    def replace(self, entries, again=()):
        """Other servers from now on, also where the same entry is named in `again`; returns those
        that are over, for whose end others wait."""
        before, now = self.tables.servers, {}
        ending = {server.entry.name: server.ending for server in [*self.tables.gone,
                                                                  *before.values()]}
        for name, entry in entries.items():
            now[name] = server = before.get(name)
            if server and name not in again and entry.runs_like(server.entry):
                server.entry = entry
            else:
                now[name] = Server(entry, self.share, self.has_eras, ending=ending.get(name, []),
                                   lists_by_capabilities=entry.lists_by_capabilities)
                if self.share:
                    now[name].listers[PLAIN] = self._make(now[name], PLAIN)
        over = [server for server in before.values() if server not in now.values()]
        self.entries, self.tables.servers = entries, now
        self.tables.gone = [*self.tables.gone, *over]
        return over

    def _make(self, server, key, session=None):
        """A process of this server, which rests. It is for this session, if there is one."""
        entry, plain = server.entry, not self.share or key == PLAIN and not server.uses
        label = entry.name if plain else f"{entry.name}#{next(self.numbers)}"
        capabilities = session.capabilities if session and (key != PLAIN or not self.share) else {}
        use = Use(server, key, session=session, capabilities=capabilities)
        use.upstream = Upstream(use, label, functools.partial(self._connect, entry, label),
                                self.clock, self._client_info, self, self._open_life)
        server.uses.append(use)
        return use

    def see(self, session, name):
        """The upstream of this server that lists for the session from now on."""
        server, key = self.tables.servers[name], self.sessions[session]
        server.sessions[session] = key
        use = server.lister(session)
        if use is None and self.share and not self.tables.has_room(server, session):
            use = server.listers[PLAIN]
        if use is None:
            use = self._make(server, key, session)
            if self.share:
                server.listers[key] = use
            else:
                use.owner = session
        use.listeners[session] = None
        restarts = use.upstream.restarts
        if restarts.stopped:
            restarts.begin_anew(counts=session.is_brief)
            if use.upstream.life.connection:    # which may not have ended yet
                server.ending.append(use.upstream.life)
            self.want(use)
        elif use.upstream.state == RESTING and not use.upstream.info:
            self.want(use)
        return use.upstream

    def leave(self, session, server):
        """It sees this server no more. Returns (the Uses that end, the calls that wait)."""
        key = server.sessions.pop(session)
        calls = server.waiting.get(key, {}).pop(session, [])
        for use in server.uses:
            use.listeners.pop(session, None)
            use.session = None if use.session is session else use.session
        alone = key != PLAIN and key not in server.sessions.values()
        if alone:
            server.waiting.pop(key, None)
        stay = UP if key.startswith(BRIEF) else ()  # the next request like this one may need it
        over = [use for use in server.uses if use.owner is session or alone and use.key == key
                and use.owner is None and use.upstream.state not in stay]
        for use in over:
            self.forget(use)
        return over, calls

    def give(self, use, session, policy, calls=()):
        """The session owns this process from now on, or holds it for these calls."""
        if policy is OWN and use.owner is None:
            use.owner = session
            if use.is_lister():     # another takes its place, which remembers what this one listed
                heir = use.server.listers[use.key] = self._make(use.server, use.key, session)
                heir.session = None
                if use.upstream.info:
                    heir.upstream.remember(use.upstream)
            self.look_again(list(use.listeners), use.server)    # none lists from another's
        elif policy is TURNS and use.owner is None:
            use.holder, use.last_user = session, session.id
            use.holds += len(calls)
            for waiting in calls:
                waiting.holds = True

    def look_again(self, sessions, server, tell=False):
        """Let each list from the process that is best now; with `tell`, and be told of changes."""
        self._look.append((sessions, server, tell))

    def look_now(self):
        if self._look:  # somebody is to look again. Without the lock
            self.changed()

    def _list_elsewhere(self, session, server, tell):
        """See look_again. Takes the lock."""
        with self.lock:
            name = server.entry.name
            before = session.upstreams.get(name)
            if session not in server.sessions or before is None \
                    or self.tables.servers.get(name) is not server:
                return  # the session has left, or another server has the name now
            upstream = self.see(session, name)
            if before is upstream:
                return
            before.use.listeners.pop(session, None)
            session.upstreams = {**session.upstreams, name: upstream}
        self.arrive(session, upstream, before.audience.leave(session))
        if upstream.info and (tell or before.catalog.known != upstream.catalog.known):
            lists_changed(session, upstream.offered)

    def arrive(self, session, upstream, uris=()):
        """It lists for the session from now on, with these subscriptions. Without the lock."""
        upstream.audience.join(session, uris)
        now = session.upstreams.get(upstream.name)
        if session not in self.sessions:    # it has left meanwhile
            upstream.audience.leave(session)
        elif now is not upstream:           # it lists elsewhere by now
            uris = upstream.audience.leave(session)
            if now:
                self.arrive(session, now, uris)

    def want(self, use):
        """It is to be started as soon as it may."""
        if not use.wanted and use.upstream.state not in (RUNNING, STARTING):
            use.wanted = next(self.numbers)

    def forget(self, use):
        """It is told to end. Until it has ended, it counts, and no other may take its place."""
        server, use.wanted, use.counts = use.server, 0, False
        self.clock.forget(use.idle)     # which would keep all of it for so long
        if use in server.uses:
            server.uses.remove(use)
        if use.is_lister():
            del server.listers[use.key]
        if use.upstream.state != RESTING:
            server.ending.append(use.upstream.life)
