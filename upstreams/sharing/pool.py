"""The Pool: which process lists for a session, and which one runs a call.

    session.upstreams[name]     the process that lists for the session; it may change at any time
    run(…)                      the process that runs a call: now, when it is up, or when it is
                                this call's turn. No thread waits for that

plan.py decides, processes.py carries that out; this file tells them what has happened.
"""

import functools
import logging
import time

from transports.fabric.messages import INVALID_REQUEST, SERVER_UNAVAILABLE, Refused, result
from upstreams.server.legacy import AUTO, LEGACY
from upstreams.server.life import RUNNING, STARTING

from .plan import GIVE, for_one
from .processes import Processes
from .tables import COMMON, OWN, PLAIN, WaitingCall, key_of

log = logging.getLogger("router")

CLOSE_SECONDS = 8.0     # for all servers together; the three steps of a process's end take 4
CALL_PATIENCE = 30.0    # seconds that a call waits for a process that is free
LATE_SECONDS = 2.0      # in which a server must answer a call that was withdrawn from it


class Pool(Processes):
    """All processes. Any thread may call anything here."""

    # -- what the router and the surfaces want

    def start(self):
        """Start the processes that list."""
        with self.lock:
            for server in self.tables.servers.values() if self.share else ():
                self.want(server.listers[PLAIN])
        self.changed()

    def join(self, session):
        """The session sees the servers of its surface from now on. Raises Refused if one of them
        is not in the config any more."""
        key = key_of(session.capabilities)
        with self.lock:
            names = session.surface.names(list(self.entries))
            for name in set(names) - self.entries.keys():
                raise Refused(INVALID_REQUEST, f'there is no server "{name}" any more')
            self.sessions[session] = key
            session.upstreams = {name: self.see(session, name) for name in names}
            for upstream in session.upstreams.values():     # what has run once may do so again
                if upstream.restarts.given_up and upstream.info:
                    upstream.restarts.begin_anew()
                    self.want(upstream.use)
        for upstream in session.upstreams.values():
            upstream.audience.join(session)
        self.changed()

    def owned(self, session, name=None):
        """The upstreams that the session owns or holds, of this server or of all."""
        with self.lock:
            return [use.upstream for use in self.tables.uses()
                    if session in (use.owner, use.holder) and name in (None, use.upstream.name)]

    def callees(self, session, name):
        """The upstreams of this server where calls of the session run, of those that are there."""
        use = session.upstreams[name].use
        if use.server.policy(use.server.sessions.get(session, PLAIN)) is COMMON:
            return [use.upstream]
        return self.owned(session, name)

    def release(self, session, names=None):
        """The session has ended, or does not see these servers any more: the processes that it
        owns there end. May be called twice."""
        over, audiences = [], []
        with self.lock:
            if names is None:
                self.sessions.pop(session, None)
            for server in self.all_servers():
                if session in server.sessions and (names is None or server.entry.name in names):
                    audiences += [use.upstream.audience for use in server.uses]
                    over += self.leave(session, server)
        for audience in audiences:
            audience.leave(session)
        for use in over:
            use.upstream.close()
        self.changed()

    def upstreams(self):
        """{server: [upstream]}, in the config's order, without those that were told to end."""
        with self.lock:
            return {name: [use.upstream for use in server.uses]
                    for name, server in self.tables.servers.items()}

    def close(self):
        """End every server, all at the same time, and wait until they have ended."""
        with self.lock:
            uses = self.tables.uses()
            lives = [life for server in self.all_servers() for life in server.ending]
            for use in uses:
                use.wanted = 0
        deadline = time.monotonic() + CLOSE_SECONDS
        for use in uses:
            use.upstream.close()
        for life in [*lives, *(use.upstream.life for use in uses)]:
            if life.connection and not life.connection.join(max(0.1, deadline - time.monotonic())):
                log.error('server "%s" has not ended', life.entry.name)

    # -- what the upstreams want

    def protocol_of(self, entry):
        """What the next life of this server begins with: AUTO, or an era."""
        server = self.tables.servers.get(entry.name)
        if not self.has_eras:
            return LEGACY
        if entry.protocol != AUTO or server is None or server.asks_again:
            return entry.protocol
        return server.era or AUTO

    def is_of_era(self, upstream, era):
        """The era of a server has become known, or is another than before."""
        with self.lock:
            upstream.use.server.era, upstream.use.server.asks_again = era, False
        self.changed()

    def forget_era(self, entry):
        """What is remembered of this server's era may be wrong: the next life asks again."""
        with self.lock:
            if entry.name in self.tables.servers:
                self.tables.servers[entry.name].asks_again = True

    def has_run(self, entry):
        """Whether a server was ever up."""
        server = self.tables.servers.get(entry.name)
        return server is not None and server.has_run

    def asked_by(self, upstream):
        """The session that a question of this process is for, or None.

        A process that asks before anybody called belongs to the session that it was made for.
        """
        use, sessions = upstream.use, upstream.use.server.sessions
        with self.lock:
            use.asked = True
            if not use.can_ask:
                return None
            if use in use.server.uses and not (use.owner or use.holder or use.called):
                alone = [session for session, key in sessions.items()
                         if key == use.key and not use.server.of(session)]
                if alone:
                    self.give(use, use.session if use.session in alone else alone[0], OWN)
            session = use.owner or use.holder
        self.look_now()
        return session if session in sessions else None

    def own(self, upstream, session):
        """The process has learned something of this session: from now on it serves no other."""
        use = upstream.use
        with self.lock:
            if use.can_ask and use in use.server.uses and session in use.server.sessions:
                self.give(use, session, OWN)
        self.changed()

    def at_rest(self, upstream, message, reply_to, call):
        """A request for a process that is not there. A list is answered from memory; for anything
        else the process comes back."""
        answer = upstream.catalog.remembered(message["method"])
        if answer is not None:
            reply_to.send(result(message["id"], answer))
            return

        def ask():
            try:
                if call is None or not call.ended:
                    upstream.request(message, reply_to, call)
            except Refused as problem:
                reply_to.send(problem.answer(message["id"]))
        with self.lock:
            self.want(upstream.use)
        upstream.when_settled(ask)
        self.changed()

    def wake(self, upstream):
        """A process that rests is needed."""
        with self.lock:
            self.want(upstream.use)
        self.changed()

    def stops(self, upstream):
        """Whether to leave an ended server down because nobody uses it."""
        use = upstream.use
        with self.lock:
            kin = not use.is_lister() and use.key in use.server.sessions.values()
            upstream.restarts.stopped = not (use.owner or use.holder or use.listeners or kin)
            return upstream.restarts.stopped

    def start_again(self, upstream):
        """It is to be started again as soon as it may. Called by the clock."""
        use = upstream.use
        with self.lock:
            if use in use.server.uses:  # its state may be STARTING: a life took the place of one
                use.wanted = use.wanted or next(self.numbers)
        self.changed()

    def failed(self, upstream):
        """A server has ended by itself. Nothing comes late from it, and sessions that took turns
        there list from another process."""
        use = upstream.use
        with self.lock:
            use.late.clear()
            self.look_again(list(use.listeners), use.server, True)
        self._let_go(use)
        self.changed()

    # -- the way of a call

    def run(self, session, name, call, function, reply_to):
        """Call function(upstream) with the process that runs this call.

        At once, in this thread, if there is one that is up; then it may raise Refused. Else in
        the thread that makes it so; then an error goes to `reply_to`, as it does if there is no
        process in time.
        """
        upstream = session.upstreams.get(name)
        if upstream is None:
            raise Refused(SERVER_UNAVAILABLE, f'there is no server "{name}" here any more')
        use = upstream.use
        if use.called and upstream.life.state == RUNNING and (
                use.owner is session or use.key == PLAIN and use.server.policy(
                    use.server.sessions.get(session, PLAIN)) is COMMON):
            function(upstream)
            return
        server, waiting = use.server, WaitingCall(session, call, function, reply_to)
        with self.lock:
            key = server.sessions.get(session)
            if key is None:
                raise Refused(SERVER_UNAVAILABLE, f'server "{name}" has just been changed in '
                              "the config: try again" if session in self.sessions
                              else "this session has ended")
            use = self._use_now(server, key, session)
            if use:
                self.give(use, session, server.policy(key), [waiting])
            else:
                server.waiting[key].setdefault(session, []).append(waiting)
        if use:
            self.look_now()
            self.begin(use, [waiting])
        else:
            self._wait(server, key, waiting)

    def _use_now(self, server, key, session):
        """The process that a call of this session gets at once: a session that has one waits
        behind nobody, and without a queue nobody waits. Requires the lock."""
        if server.waiting.setdefault(key, {}) and not server.of(session):
            return None
        self.refresh(server.uses)
        steps = for_one(self.tables, server, key, session)
        return steps[0].use if steps and steps[0].what is GIVE else None

    def _wait(self, server, key, waiting):
        """This call waits from now on. If it is the first of its session and waits for room,
        another session may have to end; the only process of a server makes no room."""
        waiting.deadline = self.clock.after(CALL_PATIENCE, self._patience_ends, server, key,
                                            waiting)
        waiting.call.on_end(functools.partial(self._withdrawn, server, key, waiting))
        self.changed()
        session, owners = waiting.session, set()
        with self.lock:
            if server.waiting.get(key, {}).get(session) == [waiting] and not server.of(session) \
                    and not self.tables.has_room(server, session):
                owners = {use.owner for each in self.tables.servers.values() for use in each.uses
                          if each is server or each.count() > 1} - {None}
        if owners:
            self.make_room(owners)
            self.changed()

    def _waits(self, server, key, waiting):
        """Requires the lock."""
        return waiting in server.waiting.get(key, {}).get(waiting.session, ())

    def _withdrawn(self, server, key, waiting):
        """The call has ended: it waits no more, if it did."""
        self.clock.forget(waiting.deadline)
        with self.lock:
            if self._waits(server, key, waiting):
                calls = server.waiting[key][waiting.session]
                calls.remove(waiting)
                if not calls:
                    del server.waiting[key][waiting.session]

    def _patience_ends(self, server, key, waiting):
        """Called by the clock: the call has waited for long. It goes on waiting while a process
        that it could have is starting."""
        with self.lock:
            if not self._waits(server, key, waiting):
                return
            more = any(use.upstream.state == STARTING for use in server.uses
                       if use.key == key and use.owner in (None, waiting.session))
            users = [use.owner or use.holder for use in self.tables.uses()]
        if more:
            waiting.deadline = self.clock.after(CALL_PATIENCE, self._patience_ends, server, key,
                                                waiting)
            return
        users = [session for session in users if session]
        idle = sum(not len(session.calls) for session in set(users))
        text = (f'server "{server.entry.name}": no process was free within {CALL_PATIENCE:g} '
                f"seconds; {len(users)} belong to {len(set(users))} clients, of which {idle} are "
                f"idle, and {self.tables.limit} are allowed: close a client, raise "
                '--max-processes, or set "shared": true for servers that keep nothing of a '
                "client between two calls")
        log.warning("%s", text)
        waiting.fail(Refused(SERVER_UNAVAILABLE, text))

    def begin(self, use, calls):
        """These calls begin at this process, or fail if it is not running."""
        for waiting in calls:
            self.clock.forget(waiting.deadline)
            if waiting.holds:
                waiting.call.on_end(functools.partial(self._call_ended, use, waiting.call))
                use.upstream.audience.tell_server(waiting.session)
            if waiting.call.ended:
                continue
            use.called = True
            try:
                waiting.function(use.upstream)
            except Refused as problem:
                waiting.fail(problem)

    def _call_ended(self, use, call):
        """A call for which its session holds this process has ended.

        If it was withdrawn, the server may still ask or log something that belongs to it. So the
        process is free only when that late answer arrives, and is ended if it does not arrive in
        LATE_SECONDS.
        """
        ids = [our_id for our_id, row in use.upstream.life.pending.rows() if row.call is call]
        with self.lock:
            use.holds -= 1
            use.late.update(ids)
        if ids:
            self.clock.after(LATE_SECONDS, self._too_late, use, ids)
        else:
            self._let_go(use)

    def answered_late(self, upstream, our_id):
        """The server has answered a request that was withdrawn. Its reader thread."""
        use = upstream.use
        if our_id in use.late:
            with self.lock:
                use.late.discard(our_id)
            self._let_go(use)

    def _too_late(self, use, ids):
        """Called by the clock."""
        with self.lock:
            use.spoilt = use.spoilt or not use.late.isdisjoint(ids)
            use.late.difference_update(ids)
        self._let_go(use)

    def _let_go(self, use):
        """If nothing of its holder is under way there any more, the process is free."""
        with self.lock:
            if use.holder is None or use.holds or use.late:
                return
            use.holder, use.used = None, next(self.numbers)
            spoilt = use.spoilt and not use.owner and use in use.server.uses
            wanted = any(queue for server in self.tables.servers.values()
                         for queue in server.waiting.values())
        if spoilt:
            self.end(use)
        elif wanted:
            self.changed()
        self.look_if_idle(use)
