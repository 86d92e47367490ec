"""From one config to the next, while sessions are open.

A server whose Entry has changed in any way ends, and starts again as another one: its calls fail
at once, its processes end before others of its name start, and nothing that was learned of it
counts any more. Servers whose Entry is the same are left alone: neither their processes nor their
calls notice.
"""

import functools

from transports.fabric.messages import SERVER_UNAVAILABLE, Refused
from upstreams.server.audience import lists_changed
from upstreams.server.life import RUNNING

GONE = "it was taken out of the config"
CHANGED = "its entry in the config has changed, and it is started again"


class Reload:
    """Changes which servers there are. Uses the Pool's tables and lock."""

    def __init__(self, pool, processes, clock):
        self._pool, self._processes, self._clock = pool, processes, clock

    def reload(self, entries):
        """These are the servers from now on. One thread at a time.

        Returns the names of the servers that are (new, gone, changed).
        """
        pool, before = self._pool, self._pool.entries
        new = [name for name in entries if name not in before]
        gone = [name for name in before if name not in entries]
        changed = [name for name, entry in entries.items() if before.get(name, entry) != entry]
        with pool.lock:
            over, turns = self._processes.replace_entries(entries)
            sessions = list(pool.sessions)
        for session in sessions:  # before these processes end: what is listed there is listed anew
            self._show(session)
        for upstream in over:
            upstream.close(_why(upstream.name, entries))
        for name, turn in turns:
            self._clock.forget(turn.deadline)
            turn.fail(Refused(SERVER_UNAVAILABLE,
                              f'server "{name}" is not running: {_why(name, entries)}'))
        pool.start([*new, *changed])
        return new, gone, changed

    def _show(self, session):
        """Let the session see what its surface shows now, and tell it what that changes."""
        pool, key = self._pool, self._processes.digest(session.capabilities)
        with pool.lock:
            if session not in pool.sessions:
                return
            before = session.upstreams
            session.upstreams = now = {
                name: before[name] if self._stays(session, name)
                else pool.lister(session, name, key)
                for name in session.surface.names(list(pool.entries))}
        left = {name: old for name, old in before.items() if now.get(name) is not old}
        uris = {name: old.audience.leave(session) for name, old in left.items()}
        told = {}   # capabilities of which the lists have changed
        for name, upstream in now.items():
            if before.get(name) is not upstream:
                old = left[name].offered if name in left else {}
                pool.arrive(session, upstream, uris.get(name, ()))
                if upstream.state == RUNNING:
                    told = {**told, **old, **upstream.offered}
                else:  # when it is up, it tells what it has then
                    upstream.when_settled(functools.partial(_tell_rest, session, upstream, old))
        lost = [old for name, old in left.items() if name not in now]
        for old in lost:
            told = {**told, **old.offered}
        pool.release(session, lost)
        lists_changed(session, told)

    def _stays(self, session, name):
        """Whether it lists from the process that it did. A session of a single server that is gone
        does, until it ends: its calls there fail with the reason."""
        upstream = session.upstreams.get(name)
        return upstream and (session in upstream.use.kind.sessions
                             or name not in self._pool.entries)


def _why(name, entries):
    return CHANGED if name in entries else GONE


def _tell_rest(session, upstream, before):
    """A server that has changed is up, or could not be started: what it does not have any more."""
    lists_changed(session, {kind: value for kind, value in before.items()
                            if kind not in upstream.capabilities})
