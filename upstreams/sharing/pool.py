"""The Pool: which process lists for a session, and which one runs a call.

    session.upstreams[name]     the process that lists for the session; it may change at any time
    run(…)                      the process that runs a call: see waiting.py
"""

import time

from transports.fabric.messages import (INVALID_REQUEST, METHOD_NOT_FOUND, SERVER_UNAVAILABLE,
                                        Refused, params_of, result)
from transports.fabric.text import log
from upstreams.server.catalog import LISTS
from upstreams.server.life import STARTING

from .tables import BRIEF, COMMON, OWN, PLAIN, key_of
from .waiting import Waiting

CLOSE_SECONDS = 8.0     # for all servers together; the three steps of a process's end take 4


class Pool(Waiting):
    """All processes. Any thread may call anything here."""

    # -- what the router and the surfaces want

    def start(self):
        """Start the processes that list."""
        with self.lock:
            for server in self.tables.servers.values() if self.share else ():
                self.want(server.listers[PLAIN])
        self.changed()

    def join(self, session):
        """The session sees the servers of its surface. Raises Refused if one of them is gone."""
        session.key = key = key_of(session)
        with self.lock:
            names = session.surface.names(list(self.entries))
            for name in set(names) - self.entries.keys():
                raise Refused(INVALID_REQUEST, f'there is no server "{name}" any more')
            self.sessions[session] = key
            session.upstreams = {name: self.see(session, name) for name in names}
            for upstream in session.upstreams.values():     # what has run once may do so again
                may = upstream.info and upstream.entry.restart_attempts
                if may and upstream.restarts.are_over(session.is_brief):
                    upstream.restarts.begin_anew()
                    self.want(upstream.use)
        for upstream in session.upstreams.values():
            self.arrive(session, upstream)
        self.changed()

    def visit(self, session):
        """The same for a brief session. If it can use what all share, no table changes."""
        found, session.key = {}, key_of(session)
        for name in session.surface.names(self.tables.servers):
            server = self.tables.servers.get(name)
            use = server and server.listers.get(PLAIN)
            restarts = use and use.upstream.restarts
            if not use or restarts.stopped or restarts.given_up \
                    or not (use.upstream.info or use.wanted) \
                    or server.lists_by_capabilities and session.key != PLAIN:
                self.join(session)
                return
            found[name] = use.upstream
        session.upstreams = found

    def owned(self, session, name=None):
        """The upstreams that the session owns or holds, of this server or of all."""
        with self.lock:
            return [use.upstream for use in self.tables.uses()
                    if session in (use.owner, use.holder) and name in (None, use.upstream.name)]

    def callees(self, session, name):
        """The upstreams of this server where calls of the session run, of those that are there."""
        use = session.upstreams[name].use
        if use.server.policy(session.key) is COMMON:
            return [use.upstream]
        return self.owned(session, name)

    def release(self, session, names=None):
        """The session sees these servers no more: the processes that it owns there end."""
        over, audiences, calls = [], [], []
        if session not in self.sessions:
            return      # it was only visiting
        with self.lock:
            if names is None:
                self.sessions.pop(session, None)
            for server in self.all_servers():
                if session in server.sessions and (names is None or server.entry.name in names):
                    audiences += [use.upstream.audience for use in server.uses]
                    ended, waiting = self.leave(session, server)
                    over, calls = over + ended, calls + waiting
        for audience in audiences:
            audience.leave(session)
        for waiting in calls:
            waiting.fail(Refused(SERVER_UNAVAILABLE, "its server is not here any more"))
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
            self.closed = True
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

    def is_of_era(self, upstream, era):
        """The era of a server has become known, or is another than before."""
        with self.lock:
            upstream.use.server.era, upstream.use.server.asks_again = era, False
        self.changed()

    def forget_era(self, upstream):
        """What is remembered of a server's era may be wrong: its next life asks again."""
        with self.lock:
            upstream.use.server.asks_again = True

    def asked_by(self, upstream):
        """The session that a question of this process is for, or None: before anybody has called,
        the one that it was made for, which has it from now on."""
        use, sessions = upstream.use, upstream.use.server.sessions
        with self.lock:
            use.asked = True
            if not use.can_ask:
                return None
            if use in use.server.uses and not (use.owner or use.holder or use.called):
                alone = [session for session in (     # those of one request only while that waits
                    use.server.waiting.get(use.key, ()) if use.key.startswith(BRIEF) else sessions)
                         if sessions[session] == use.key and not use.server.of(session)]
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
        """A request for a process that rests, or comes back from there. A list is answered from
        memory; for anything else it, or its session's own, comes back. Raises Refused."""
        use, answer = upstream.use, _from_memory(upstream, message)
        if answer:
            reply_to.send(answer)
            return

        def ask(process=None):
            try:
                if call is None or not call.ended:
                    (process or use.upstream).request(message, reply_to, call)
            except Refused as problem:
                reply_to.send(problem.answer(message["id"]))
        asker = call and call.asker.lasting
        if call and (use.owner is asker or use.server.policy(asker.key) is COMMON):
            self.run(asker, upstream.name, call, ask, reply_to)
            return
        with self.lock:
            own = use.server.of(next(iter(use.listeners))) if len(use.listeners) == 1 else None
            use = own if own and (own.wanted or own.upstream.state == STARTING) else use
            settled = use.upstream.life.settled_gate    # of this life: the next may be over soon
            use.asks += 1
            self.want(use)
        if not settled.do(self._back, use, ask):
            self._back(use, lambda: None)
            raise Refused(SERVER_UNAVAILABLE, f'too many requests wait for "{upstream.name}"')
        self.changed()

    def _back(self, use, ask):
        """A process is back from its rest, or could not be started: ask() it."""
        try:
            ask()
        finally:
            with self.lock:
                use.asks -= 1
        if use.awaited:
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
            listeners = any(use.server.of(session) in (None, use) for session in use.listeners)
            upstream.restarts.stopped = not (use.owner or use.holder or listeners or kin)
            return upstream.restarts.stopped

    def start_again(self, upstream):
        """It is to be started again as soon as it may. Called by the clock."""
        use = upstream.use
        with self.lock:
            if use in use.server.uses:  # its state may be STARTING: a life took the place of one
                use.wanted = use.wanted or next(self.numbers)
        self.changed()

    def failed(self, upstream):
        """A server has ended by itself. Nothing comes late; who took turns lists elsewhere."""
        use = upstream.use
        with self.lock:
            use.late.clear()
            self.look_again(list(use.listeners), use.server, True)
            over = use.is_left()
            if over:
                self.forget(use)
        if over:
            upstream.close()
        self._let_go(use)
        self.changed()


def _from_memory(upstream, message):
    """The answer to a request for a list that is remembered; else None. Raises Refused."""
    method = message["method"]
    if method in LISTS and LISTS[method][0] not in upstream.offered:
        raise Refused(METHOD_NOT_FOUND, f'server "{upstream.name}" has no {LISTS[method][1]}')
    items = upstream.catalog.remembered(method)
    return None if items is None or "cursor" in params_of(message) else result(
        message["id"], items)
