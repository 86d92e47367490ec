"""The lists of servers, page after page, and waiting until servers have started.

No thread waits: all of it runs in the thread that brings the next piece, mostly the reader thread
of a server, or the clock."""

import functools

from transports.fabric.gather import Gather
from transports.fabric.messages import METHOD_NOT_FOUND, Refused, dig, encode, request
from transports.fabric.text import log

from .catalog import LISTS
from .legacy import LEGACY

INITIALIZE_PATIENCE = 3.0  # seconds that a client's initialize waits; some give it 5 for all
LIST_SECONDS = 10.0  # what a list of many servers waits for the slowest of them
MOST_BYTES = 64 * 2**20  # of a list in pages
MOST_PAGES = 1000    # of one list; a cursor that comes again ends it before


def when_settled(upstreams, function, clock=None, seconds=None, or_asks=False):
    """Call function() once, when all of them have started or failed, or after so many seconds.
    With `or_asks`, one that asks its client something before is not waited for."""
    def wait(upstream, put):
        upstream.when_settled(functools.partial(put, None))
        if or_asks:
            upstream.life.asks_gate.do(put, None)
    Gather(upstreams, lambda _values, _missing: function(), clock, seconds).start(wait)


def when_session_settled(session, function, clock, seconds, or_asks=False):
    """The same for all processes that the session lists from, or from which it lists by then."""
    def look(session, put, waited_for=frozenset()):
        now = frozenset(each for each in session.upstreams.values() if each.is_settling())
        if now <= waited_for:
            put(None)
        else:
            # With the deadline: one that never settles must not keep a session that has left.
            when_settled(now, functools.partial(look, session, put, now), clock, seconds, or_asks)
    Gather([session], lambda _values, _missing: function(), clock, seconds).start(look)


def kept(*results):
    """For how long and for whom clients may keep a list that has these parts, as members of its
    result (2026-07-28, Caching); {} if one part does not say so."""
    said = [(dig(each, "ttlMs"), dig(each, "cacheScope")) for each in results]
    if not said or not all(type(ttl) is int and ttl >= 0 and scope in ("private", "public")
                           for ttl, scope in said):
        return {}
    ttls, scopes = zip(*said)
    return {"ttlMs": min(ttls), "cacheScope": "private" if "private" in scopes else "public"}


class Pages:
    """One whole list of one upstream; a Peer: each page is sent to it.

    At the end the catalog learns the list, in the reader thread, the only one that changes it.
    Then done(items) is called: as clients of all together see them, or None after an error."""

    def __init__(self, upstream, method, done, call=None):
        self._upstream, self._method, self._done, self._call = upstream, method, done, call
        self._items, self._cursors, self._bytes = [], set(), 0
        self.kept = {}      # what its pages say together: see `kept`

    def ask(self, cursor=None):
        """Ask for the first page, or for the one at the cursor."""
        message = request(self._method, {} if cursor is None else {"cursor": cursor})
        self._is_new = not self._upstream.is_resting()  # else it is answered from memory
        try:
            self._upstream.request(message, reply_to=self, call=self._call)
        except Refused as problem:
            self._failed(problem)

    def send(self, response):
        if "error" in response:
            self._failed(response["error"])
            return
        page = response.get("result")
        items, cursor = dig(page, LISTS[self._method][1]), dig(page, "nextCursor")
        self._items += items if isinstance(items, list) else []
        self.kept = kept(page, self.kept) if self._cursors else kept(page)
        if self._upstream.life.era.name == LEGACY:
            cursor = cursor or None     # some of them end a list with ""
        self._bytes += len(encode(page)) if cursor is not None else 0
        if cursor is None or str(cursor) in self._cursors or len(self._cursors) >= MOST_PAGES \
                or self._bytes > MOST_BYTES:
            if cursor is not None and not self._call:   # at the start, and not for each client
                log.warning("%s: %s is cut off after %d pages, although the server names one more",
                            self._upstream.name, self._method, len(self._cursors) + 1)
            self._done(self._upstream.catalog.learn(self._method, self._items, self._is_new))
        else:
            self._cursors.add(str(cursor))
            self.ask(cursor)

    def _failed(self, problem):
        upstream, method = self._upstream, self._method
        other = self._call and self._call.asker.upstreams.get(upstream.name)
        if other and (other is not upstream or upstream.is_resting()):
            # This process has ended. The session lists from another now, or from memory.
            self._upstream, self._items, self._cursors, self._bytes = other, [], set(), 0
            if other.is_settling():
                other.when_settled(self.ask)
            else:
                self.ask()
        elif dig(problem, "code") == METHOD_NOT_FOUND:
            log.debug("%s: does not know %s, which it has announced", upstream.name, method)
            self._done(upstream.catalog.learn(method, []))
        else:
            log.warning("%s: %s failed: %s", upstream.name, method, problem)
            self._done(None)
