"""Which era a server speaks: the first messages of each of its lives. NEXT is the table that the
code executes.

`server/discover` comes first (2026-07-28, stdio, Backward Compatibility). A server that answers it
with an error, or says nothing for two seconds, gets `initialize` down the same pipe. The first yes
decides. A slow modern server may say yes to both: that process takes us for a legacy client, so we
restart it and send only `server/discover`. The Pool remembers the era, and the next life begins
with that until a life that did so fails."""

import threading

from transports.fabric.messages import (INTERNAL_ERROR, MODERN_REVISION, REVISIONS,
                                        SERVER_UNAVAILABLE, dig)
from upstreams.server.legacy import AUTO, LEGACY, reason_of, refusal

from .modern import MODERN, Modern, meta_of

PATIENCE = 2.0      # seconds without an answer to server/discover, until initialize follows
REMOTE_PATIENCE = 20.0  # the same over HTTP, where an answer may wait until a machine is up

# What the server has not answered yet, as states.
DISCOVER = "server/discover, and initialize was not sent"
BOTH = "server/discover and initialize"
INITIALIZE = "initialize, and server/discover was refused or not sent"
ONLY_DISCOVER = "server/discover, and initialize was refused or is not to be sent"
DISCOVERED = "initialize, and server/discover was accepted"
OVER = "over"

# What happens: answers to server/discover, answers to initialize, and PATIENCE without an answer.
YES, NO, UNKNOWN = "modern", "not modern", "speaks only revisions that we do not know"
ACCEPTED, REFUSED = "accepted initialize", "refused initialize"
SILENCE = "silence"

BEGINS = {AUTO: DISCOVER, LEGACY: INITIALIZE, MODERN: ONLY_DISCOVER}

# state → {what happens: (the state after that, what is done then: a method of Opening)}
NEXT = {
    DISCOVER: {YES: (OVER, "_modern"), NO: (INITIALIZE, "_initialize"),
               UNKNOWN: (OVER, "_fail"), SILENCE: (BOTH, "_initialize")},
    BOTH: {YES: (DISCOVERED, None), NO: (INITIALIZE, None), UNKNOWN: (INITIALIZE, None),
           ACCEPTED: (OVER, "_legacy"), REFUSED: (ONLY_DISCOVER, None)},
    INITIALIZE: {ACCEPTED: (OVER, "_legacy"), REFUSED: (OVER, "_fail")},
    ONLY_DISCOVER: {YES: (OVER, "_modern"), NO: (OVER, "_fail")},
    DISCOVERED: {ACCEPTED: (OVER, "_begin_again"), REFUSED: (OVER, "_modern")},
    OVER: {},
}

# The state in which a server ended → the era to begin again with: one of our requests may have
# crashed it. It has answered nothing, or nothing but yes to server/discover.
CRASHED = {DISCOVER: LEGACY, BOTH: LEGACY, DISCOVERED: MODERN}


class Opening:
    """The opening of one life. It ends with `life.opened`, `life.give_up` or `life.begin_again`.

    The answers come in the reader thread; SILENCE comes from the clock."""

    def __init__(self, life, protocol):
        self._life, self._clock = life, life.upstream.clock
        self._timer = None          # for SILENCE
        self._insisted = False      # whether server/discover was sent a second time
        self._accepted = None       # the answer that was the yes
        self._problem = None        # of the first refusal
        self._lock = threading.Lock()
        self._state = BEGINS[protocol]  # protected by _lock

    def start(self):
        if self._state is DISCOVER:
            patience = REMOTE_PATIENCE if self._life.entry.url else PATIENCE
            self._timer = self._clock.after(patience, self._happens, SILENCE)
        (self._initialize if self._state is INITIALIZE else self._discover)()

    def end(self, silent=False):
        """The process has ended, or is given up: nothing that it says later counts. Returns the
        era to begin again with, if our requests may be the reason. `silent`: they are not, as far
        as we know, the reason why it answered none."""
        with self._lock:
            state, self._state = self._state, OVER
        self._clock.forget(self._timer)
        era = CRASHED.get(state)
        is_unasked = silent or self._insisted or not self._timer
        return None if era == LEGACY and is_unasked else era

    def _happens(self, event, problem=None):
        with self._lock:
            self._state, action = NEXT[self._state].get(event, (self._state, None))
            over = self._state is OVER
            self._problem = self._problem or problem
        if over:
            self._clock.forget(self._timer)
        if action:
            getattr(self, action)()

    def _initialize(self):
        self._life.era.initialize(self._initialized)

    def _discover(self):
        self._life.ask("server/discover", {"_meta": meta_of(self._life.upstream.client)},
                       self._discovered)

    def _discovered(self, response):
        offered, code = _revisions_in(response), dig(response, "error", "code")
        if self._state is OVER:
            return
        if MODERN_REVISION in offered and "result" in response:
            self._accepted = response
            self._happens(YES)
        elif MODERN_REVISION in offered and not self._insisted:
            self._insisted = True   # it refuses our revision, and says that it supports it
            self._discover()
        elif self._state is ONLY_DISCOVER:
            self._happens(NO, "refused server/discover: " + reason_of(response))
        elif offered and not set(offered) & {*REVISIONS, MODERN_REVISION}:
            self._happens(UNKNOWN, f"speaks revisions {', '.join(offered)} of MCP; this router "
                                   f"knows {', '.join(REVISIONS)} and {MODERN_REVISION}")
        elif code == INTERNAL_ERROR and self._life.connection.skipped:  # its answer was spoilt
            self._happens(NO, self._life.connection.skipped)
        else:
            if code != SERVER_UNAVAILABLE:  # else it may never have been asked
                self._life.upstream.pool.is_of_era(self._life.upstream, LEGACY)
            self._happens(NO)

    def _initialized(self, response):
        if self._state is DISCOVERED:
            self._happens(REFUSED if "error" in response else ACCEPTED)
        elif problem := refusal(response):
            self._happens(REFUSED, problem)
        else:
            self._accepted = response
            self._happens(ACCEPTED)

    def _modern(self):
        self._life.opened(Modern(self._life, self._accepted["result"]))

    def _legacy(self):
        self._life.era.accept(self._accepted["result"])

    def _begin_again(self):
        self._life.begin_again(MODERN)

    def _fail(self):
        self._life.give_up(self._problem)


def _revisions_in(response):
    """The revisions that an answer to server/discover offers: in its result, or in the error
    that says that ours is not supported (2026-07-28, Protocol Version Negotiation)."""
    offered = (dig(response, "error", "data", "supported") if "error" in response
               else dig(response, "result", "supportedVersions"))
    return [revision for revision in offered if isinstance(revision, str)] \
        if isinstance(offered, list) else []
