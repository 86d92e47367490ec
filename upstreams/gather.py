"""Waiting without a thread that waits: lists of several servers, collected where they arrive.

A Pages asks one upstream for a list, page after page; a Gather collects what several give, until
all have or a deadline passes. Both run in whatever thread brings the next piece: a server's
reader, mostly, or the clock.
"""

import functools
import logging
import threading

from transports.fabric.messages import Refused, error, request

from .catalog import LISTS

log = logging.getLogger("router")

INITIALIZE_PATIENCE = 5.0  # seconds that a client's initialize waits for the slowest server
LIST_SECONDS = 10.0  # what a list of many servers waits for the slowest of them
MOST_PAGES = 1000    # of one list; a cursor that comes again ends it before


class Gather:
    """Values by name, from several threads; `finish(values)` is called once, without the lock."""

    def __init__(self, names, finish):
        self._finish = finish
        self._lock = threading.Lock()
        # protected by _lock:
        self._waiting = set(names)
        self._values = {}

    def put(self, name, value):
        """One more value; the last one finishes. What comes after the end is dropped."""
        with self._lock:
            if name not in self._waiting:
                return
            self._waiting.remove(name)
            self._values[name] = value
            done = not self._waiting
        if done:
            self._finish(self._values)

    def expire(self):
        """Finish with what is there; returns the names that are missing."""
        with self._lock:
            missing, self._waiting = self._waiting, set()
        if missing:
            self._finish(self._values)
        return missing


def when_settled(upstreams, function, clock=None, seconds=0):
    """Call function() once, when all of them have started or failed, or after so many seconds."""
    def finish(_settled):
        if clock:
            clock.forget(deadline)
        function()

    names = range(len(upstreams))
    gather = Gather(names, finish)
    deadline = clock.after(seconds, gather.expire) if clock else None
    for name, upstream in zip(names, upstreams):
        upstream.when_settled(functools.partial(gather.put, name, None))


class Pages:
    """One whole list of one upstream; a Peer: each page is sent to it.

    At the end the upstream's catalog learns it, here in the reader thread, which owns the
    catalog; then done(items) is called with the items as clients of all servers together see
    them, or with None when the server answered with an error.
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
        log.warning("%s: %s failed: %s", self._upstream.name, self._method, problem)
        self._done(None)


class FirstThatKnows:
    """Asks one upstream after another until one does not answer with an error; a Peer.

    `ask(upstream, reply_to)` asks one of them, and may raise Refused. Where none knows, the answer
    is that of the first, which was the likeliest.
    """

    def __init__(self, upstreams, ask, call):
        self.id = call.id
        self._upstreams, self._ask, self._call = list(upstreams), ask, call
        self._first = None

    def next(self):
        """Ask the next one."""
        try:
            self._ask(self._upstreams.pop(0), self)
        except Refused as problem:
            self.send(error(self.id, problem.code, str(problem), problem.data))

    def send(self, message):
        if "error" not in message:
            self._call.send(message)
            return
        self._first = self._first or message
        if self._upstreams and not self._call.ended:
            self.next()
        else:
            self._call.send(self._first)
