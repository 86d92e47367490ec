"""The lists of servers, page after page, and waiting until servers have started.

No thread waits: all of it runs in the thread that brings the next piece, mostly the reader thread
of a server, or the clock.
"""

import functools
import logging
import time

from transports.fabric.gather import Gather
from transports.fabric.messages import METHOD_NOT_FOUND, Refused, request

from .catalog import LISTS

log = logging.getLogger("router")

INITIALIZE_PATIENCE = 5.0  # seconds that a client's initialize waits for the slowest server
LIST_SECONDS = 10.0  # what a list of many servers waits for the slowest of them
MOST_PAGES = 1000    # of one list; a cursor that comes again ends it before


def when_settled(upstreams, function, clock=None, seconds=None):
    """Call function() once, when all of them have started or failed, or after so many seconds."""
    Gather(upstreams, lambda _values, _missing: function(), clock, seconds).start(
        lambda upstream, put: upstream.when_settled(functools.partial(put, None)))


def when_session_settled(session, function, clock, seconds):
    """Call function() once, when all processes that the session lists from have started or failed,
    or after so many seconds. Such a process may end while we wait; then we wait for the next."""
    starting = [upstream for upstream in session.upstreams.values()
                if upstream.is_starting()]
    when_settled(starting, functools.partial(
        _wait_on, session, function, clock, time.monotonic() + seconds, starting), clock, seconds)


def _wait_on(session, function, clock, end, waited_for):
    """One round is over: because all have settled, or because its time is."""
    seconds = end - time.monotonic()
    in_time = seconds > 0 and not any(upstream.is_starting() for upstream in waited_for)
    if waited_for and in_time:
        when_session_settled(session, function, clock, seconds)
    else:
        function()


class Pages:
    """One whole list of one upstream; a Peer: each page is sent to it.

    At the end the upstream's catalog learns the list, here in the reader thread, the only one that
    changes the catalog. Then done(items) is called: with the items as clients of all servers
    together see them, or with None if the server answered with an error.
    """

    def __init__(self, upstream, method, done, call=None):
        self._upstream, self._method, self._done, self._call = upstream, method, done, call
        self._items = []
        self._cursors = set()

    def ask(self, cursor=None):
        """Ask for the first page, or for the one at the cursor."""
        message = request(self._method, {} if cursor is None else {"cursor": cursor})
        try:
            self._upstream.request(message, reply_to=self, call=self._call)
        except Refused as problem:
            self._failed(problem)

    def send(self, response):
        if "error" in response:
            return self._failed(response["error"])
        page = response["result"] if isinstance(response["result"], dict) else {}
        items = page.get(LISTS[self._method][1])
        self._items += items if isinstance(items, list) else []
        cursor = page.get("nextCursor")
        if cursor is None or str(cursor) in self._cursors or len(self._cursors) >= MOST_PAGES:
            return self._done(self._upstream.catalog.learn(self._method, self._items))
        self._cursors.add(str(cursor))
        return self.ask(cursor)

    def _failed(self, problem):
        session = self._call.asker if self._call else None
        other = session.upstreams.get(self._upstream.name) if session else None
        if other not in (None, self._upstream):  # which has ended; the session lists here now
            self._upstream, self._items, self._cursors = other, [], set()
            return other.when_settled(self.ask) if other.is_starting() else self.ask()
        if isinstance(problem, dict) and problem.get("code") == METHOD_NOT_FOUND:
            log.debug("%s: does not know %s, which it has announced", self._upstream.name,
                      self._method)
            return self._done(self._upstream.catalog.learn(self._method, []))
        log.warning("%s: %s failed: %s", self._upstream.name, self._method, problem)
        return self._done(None)
