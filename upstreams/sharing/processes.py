"""Which processes there are, and which of them may start now.

A few start at a time, because many at once on a small machine would all be slow. None starts
while another one of its server is ending, and a process for clients that can be asked nothing
ends as soon as no session uses it and its server has another, before that one starts: some
servers do not bear a second of their kind (one port, one lock file).
"""

import collections
import functools
import hashlib
import itertools
import json
import os

from upstreams.server.legacy import AUTO, LEGACY
from upstreams.server.life import FAILED, STARTING
from upstreams.server.upstream import Upstream

from .kinds import CAN_BE_ASKED, COMMON, OWN, TURNS, Kind, Use

STARTS_AT_ONCE = 2 * (os.cpu_count() or 1)


class Processes:
    """Tables without a lock: the Pool holds its own around every use."""

    def __init__(self, entries, connect, clock, client_info, limit, share, open_life):
        self._connect, self._clock, self.open_life = connect, clock, open_life
        self._client_info, self.limit, self._share = client_info, limit, share
        self.numbers = itertools.count(1)
        self.entries = entries  # of the servers that there are; replaced by one assignment
        self.eras = {}          # Entry → its era in the last life that had one
        self.doubted = set()    # Entries of these whose next life is asked again for its era
        self.kinds = {}         # (server name, digest of the capabilities) → Kind
        self.to_start = []      # upstreams that have not begun to start, in order
        self.starting = set()   # those that have begun, and count among those at once
        self.ending = []        # those that were told to end and may not have ended
        self.replaced = []      # those that are in `ending` already and must still be told

    def digest(self, capabilities):
        """(the capabilities, a key that is equal if they are). It may take long: 11 MB, 0.1 s."""
        return capabilities, hashlib.sha256(
            json.dumps(capabilities, sort_keys=True).encode()).digest()

    def kind(self, name, capabilities, digest):
        """The Kind of a server for sessions with these capabilities.

        While its era is not known they all wait with the router's own process: if it turns out to
        be modern, that serves them all.
        """
        entry = self.entries[name]
        for_all = entry.shared is not False and self.era_of(entry) != LEGACY
        if self._share and (for_all or CAN_BE_ASKED.isdisjoint(capabilities)):
            capabilities, digest = self.digest({})
        if (name, digest) not in self.kinds:
            policy = (OWN if entry.shared is False or not self._share
                      else COMMON if not capabilities else TURNS if entry.shared else OWN)
            self.kinds[name, digest] = Kind(entry, capabilities, policy)
        return self.kinds[name, digest]

    def may_move(self, session, upstream):
        """Whether it is not known yet if this process will run the calls of this session, since
        that depends on its era. Needs no lock: it may have become known just now."""
        return (self._share and upstream.state == STARTING and not self.era_of(upstream.entry)
                and not CAN_BE_ASKED.isdisjoint(session.capabilities))

    def era_of(self, entry):
        """None if it is not known yet."""
        if entry.protocol != AUTO:
            return entry.protocol
        return LEGACY if self.open_life is None else self.eras.get(entry)

    def replace_entries(self, entries):
        """Other servers from now on. What has no such Entry any more is forgotten.

        Returns ([process that is to be told to end], [(server, Turn that waited there)]).
        """
        self.entries = entries
        self.eras = {entry: era for entry, era in self.eras.items()
                     if entries.get(entry.name) == entry}
        self.doubted &= self.eras.keys()
        over = [kind for kind in self.kinds.values() if entries.get(kind.entry.name) != kind.entry]
        upstreams = [upstream for kind in over for upstream in kind.upstreams]
        turns = [(kind.entry.name, turn) for kind in over for turn in kind.turns]
        for upstream in upstreams:
            self.forget(upstream)
        for kind in over:
            kind.sessions, kind.turns = {}, []
        self.kinds = {key: kind for key, kind in self.kinds.items() if kind not in over}
        return upstreams, turns

    def all(self):
        """Every upstream that was not told to end."""
        return [upstream for kind in self.kinds.values() for upstream in kind.upstreams]

    def new(self, pool, kind, session):
        """One more process of this kind. It starts for this session, as soon as it may."""
        for upstream in list(kind.upstreams):  # the new one takes the place of those that failed
            if upstream.restarts.stopped or (upstream.state == FAILED and not upstream.use.owner
                                             and not upstream.use.holder):
                self.forget(upstream)
                self.replaced.append(upstream)
        plain = not self._share or not kind.capabilities and not kind.upstreams
        label = kind.entry.name if plain else f"{kind.entry.name}#{next(self.numbers)}"
        upstream = Upstream(Use(kind), label, functools.partial(self._connect, kind.entry, label),
                            self._clock, self._client_info, pool, self.open_life)
        upstream.use.started_for = session
        kind.upstreams.append(upstream)
        self.to_start.append(upstream)
        return upstream

    def leave(self, session, kind):
        """The session does not see this kind any more. Returns the processes that it leaves
        without use; they are to be told to end."""
        kind.sessions.pop(session, None)
        kind.turns = [turn for turn in kind.turns if turn.session is not session]
        for upstream in kind.upstreams:
            if upstream.use.started_for is session:
                upstream.use.started_for = None
        ending = [upstream for upstream in kind.upstreams if upstream.use.owner is session
                  or kind.capabilities and not kind.sessions]
        for upstream in ending:
            self.forget(upstream)
        self.forget_kind(kind)
        return ending

    def forget(self, upstream):
        """It is told to end. Until it has ended, it counts, and no other may take its place."""
        kind = upstream.use.kind
        kind.upstreams.remove(upstream)
        if upstream in self.to_start:
            self.to_start.remove(upstream)
        else:
            self.ending.append(upstream)
        self.forget_kind(kind)

    def forget_kind(self, kind):
        """If nothing is left of it: there may be as many kinds as there were capabilities."""
        if kind.capabilities and not (kind.upstreams or kind.sessions or kind.turns):
            self.kinds = {key: other for key, other in self.kinds.items() if other is not kind}

    def has_room(self, name, begun_only=False):
        """Whether there may be one more of this server. The first of each server does not count.

        With begun_only, those that have not begun to start do not count either.
        """
        counts = collections.Counter(upstream.name for upstream in [*self.all(), *self.ending]
                                     if not (begun_only and upstream in self.to_start))
        return not counts[name] or sum(counts.values()) - len(counts) < self.limit

    def in_the_way(self):
        """[the process that nobody has used for the longest time], if a call waits for room.

        The last one of its kind stays, and only one ends at a time.
        """
        if self.ending or not any(kind.turns for kind in self.kinds.values()):
            return []
        idle = [upstream for kind in self.kinds.values() if len(kind.upstreams) > 1
                for upstream in kind.upstreams
                if upstream.use.used and not upstream.use.owner and not upstream.use.holder]
        return sorted(idle, key=lambda upstream: upstream.use.used)[:1]

    def next_to_start(self):
        """(the upstream that may start now or None, those that must end before another may)."""
        if unused := self._unused():
            return None, unused
        for upstream in self.to_start:
            if any(other.name == upstream.name for other in self.ending):
                continue
            if len(self.starting) < STARTS_AT_ONCE and (is_the_routers(upstream)
                                                        or self.has_room(upstream.name, True)):
                self.to_start.remove(upstream)
                self.starting.add(upstream)
                upstream.problem = None
                return upstream, []
            if not self.has_room(upstream.name, True):
                upstream.problem = (f"waits until one of {self.limit} more processes has ended: "
                                    "close a client, or raise --max-processes")
        return None, []

    def _unused(self):
        """The router's own processes that no session uses, where their server has another."""
        names = [upstream.name for upstream in self.all()]
        return [upstream for upstream in self.all() if is_the_routers(upstream)
                and not upstream.use.kind.sessions and names.count(upstream.name) > 1]


def is_the_routers(upstream):
    """Whether it was started for clients that can be asked nothing, and nobody owns it."""
    return not upstream.use.kind.capabilities and upstream.use.owner is None
