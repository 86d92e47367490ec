"""Waiting without a thread that waits: all runs in the thread that brings the next piece."""

import functools
import threading


class OnAnswer:
    """A Peer that calls function(answer). Progress goes to another Peer, or is dropped."""

    def __init__(self, function, progress_to=None):
        self._function, self._progress_to = function, progress_to

    def send(self, message):
        if "method" not in message:
            self._function(message)
        elif self._progress_to:
            self._progress_to.send(message)


class Gather:
    """One value from each of these sources; then finish({source: value}, those that gave nothing
    in so many seconds) is called once."""

    def __init__(self, sources, finish, clock=None, seconds=None):
        self._sources, self._finish = list(sources), finish
        self._clock, self._seconds, self._deadline = clock, seconds, None
        self._lock = threading.Lock()
        # protected by _lock:
        self._missing = set(self._sources)
        self._values = {}

    def start(self, ask):
        """Call ask(source, put) for each source; put(value) may be called from any thread."""
        if not self._sources:
            self._finish({}, set())
            return
        if self._clock:
            self._deadline = self._clock.after(self._seconds, self._expire)
        for source in self._sources:
            ask(source, functools.partial(self._put, source))

    def _put(self, source, value):
        """A second value of a source, or one after the deadline, is dropped."""
        with self._lock:
            if source not in self._missing:
                return
            self._missing.remove(source)
            self._values[source] = value
            if self._missing:
                return
        if self._clock:
            self._clock.forget(self._deadline)
        self._over(set())

    def _expire(self):
        """Called by the clock."""
        with self._lock:
            missing, self._missing = self._missing, set()
        if missing:
            self._over(missing)

    def _over(self, missing):
        """A source that gives nothing may keep us for long: nothing else is kept with us."""
        finish, values = self._finish, self._values
        self._sources = self._finish = self._values = self._deadline = None
        finish(values, missing)


class GrowingPause:
    """Seconds before the next try, doubled with each failure in a row. One thread at a time."""

    def __init__(self, first, longest):
        self._first, self._longest = min(first, longest), longest
        self.reset()

    def next(self):
        seconds, self._seconds = self._seconds, min(2 * self._seconds, self._longest)
        return seconds

    def reset(self):
        """It has worked."""
        self._seconds = self._first
