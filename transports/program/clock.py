"""The clock: one thread that calls functions later, so that no other thread has to wait. They
must not wait there; they may send messages and start processes, as any thread may."""

import functools
import heapq
import itertools
import math
import threading
import time

from transports.fabric.text import log

MOST_FORGOTTEN = 1000   # events that stay in the heap, unless there are as many others


class Clock:
    """`start` and `close` it once; `after` and `forget` may be called by any thread."""

    def __init__(self):
        self._lock, self._wake, self._closed = threading.Lock(), threading.Event(), False
        self._numbers = itertools.count()
        # protected by _lock:
        self._events, self._forgotten = [], 0   # a heap of (when, number, [what to call])
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self):
        self._thread.start()

    def after(self, seconds, function, *arguments):
        """Call the function in so many seconds; returns what `forget` needs."""
        event = [functools.partial(function, *arguments)]
        with self._lock:
            heapq.heappush(self._events, (time.monotonic() + seconds, next(self._numbers), event))
            is_next = self._events[0][2] is event
        if is_next:
            self._wake.set()
        return event

    def forget(self, event):
        """Do not call it after all, if it was not. A search for each would take long."""
        if event:
            event.clear()
            with self._lock:
                self._forgotten += 1
                if self._forgotten > max(MOST_FORGOTTEN, len(self._events) / 2):
                    self._events = [each for each in self._events if each[2]]
                    heapq.heapify(self._events)
                    self._forgotten = 0

    def close(self):
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self):
        while not self._closed:
            self._wake.clear()  # before looking: what is entered after the look wakes us again
            with self._lock:
                seconds = self._events[0][0] - time.monotonic() if self._events else math.inf
                event = heapq.heappop(self._events)[2] if seconds <= 0 else ()
            try:
                for call in event:
                    call()
            except Exception:  # a bug in one deadline must not stop all the others
                log.exception("the clock survived an error")
            # The longest wait that Python allows is about 292 years on Linux, 49 days elsewhere.
            self._wake.wait(min(max(seconds, 0), threading.TIMEOUT_MAX))
