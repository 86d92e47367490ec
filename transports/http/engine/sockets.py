"""waitress's socket loop, but one that looks only at sockets to which something has happened.

waitress asks every socket, at every turn, whether it wants to read or to write: with 500 idle
streams that cost a call 4 ms. Here a socket is asked when it is new, when it was read or written,
and when any thread says with `changed` that what it wants may have changed.

The loop runs in MainThread. What waitress calls a dispatcher is what belongs to one socket: a
connection, what listens, or the trigger (a pipe by which other threads wake the loop).
"""

import collections
import selectors
import threading
import time

from waitress import wasyncore

from transports.program.signals import interruptible

LOOK_AT_ALL = 30.0  # seconds; that is when waitress closes connections that idle for too long
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Sockets(dict):
    """waitress's map {file descriptor: dispatcher}, and the loop over it."""

    def __init__(self):
        super().__init__()
        self._selector = selectors.DefaultSelector()
        self._changed = collections.deque()     # dispatchers to be asked what they want
        self._listening = []
        self._thread = None
        self._lock = threading.Lock()
        # protected by _lock:
        self._watched = {}      # file descriptor → READ and WRITE, as the selector watches it

    def __setitem__(self, descriptor, dispatcher):
        super().__setitem__(descriptor, dispatcher)
        self._changed.append(dispatcher)

    def __delitem__(self, descriptor):
        """waitress calls this before it closes the socket."""
        super().__delitem__(descriptor)
        with self._lock:
            if self._watched.pop(descriptor, 0):
                self._selector.unregister(descriptor)
        self._changed.extend(self._listening)  # they stop listening at too many connections

    def changed(self, dispatcher):
        """What it wants may have changed; True if the loop must be woken for that. Any thread.

        Called with the dispatcher's output lock held, see the order of locks in `__init__.py`.
        """
        if not self.is_mine():
            with self._lock:
                if _wants(dispatcher) == self._watched.get(dispatcher._fileno, 0):
                    return False
        self._changed.append(dispatcher)
        return not self.is_mine()

    def is_mine(self):
        """Whether this is the thread of the loop."""
        return threading.get_ident() == self._thread

    def loop(self):
        """Serve until a signal raises SystemExit."""
        self._thread = threading.get_ident()
        self._listening = [dispatcher for dispatcher in self.values() if dispatcher.accepting]
        due = 0.0
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + LOOK_AT_ALL
                self._changed.extend(self.values())
            while self._changed:
                self._ask(self._changed.popleft())
            with interruptible:
                ready = self._selector.select(due - time.monotonic())
            for key, events in ready:
                self._serve(key.data, events)

    def _ask(self, dispatcher):
        """Ask it what it wants, and watch it for that."""
        descriptor = dispatcher._fileno
        if self.get(descriptor) is not dispatcher:
            return  # it has been closed meanwhile
        with self._lock:
            wants, watched = _wants(dispatcher), self._watched.get(descriptor, 0)
            if wants == watched:
                return
            self._watched[descriptor] = wants
            if not watched:
                self._selector.register(descriptor, wants, dispatcher)
            elif wants:
                self._selector.modify(descriptor, wants, dispatcher)
            else:
                self._selector.unregister(descriptor)

    def _serve(self, dispatcher, events):
        for event, serve in ((READ, wasyncore.read), (WRITE, wasyncore.write)):
            if events & event and dispatcher._fileno is not None:  # not closed by the read
                serve(dispatcher)
        self._changed.append(dispatcher)


def _wants(dispatcher):
    """Called with the lock of Sockets held: it must not wait."""
    return (READ if dispatcher.readable() else 0) | (
        WRITE if dispatcher.writable() and not dispatcher.accepting else 0)
