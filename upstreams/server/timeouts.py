"""Calls that take too long, for a server whose config sets a `timeout`.

The time of a call counts from its request, or from the last progress of the server with it. The
clock looks at all calls of a server together, about once a second while there are any: so a call
needs no timer of its own.
"""

import threading
import time

from transports.fabric.messages import SERVER_UNAVAILABLE, error


class CallTimeouts:
    """Fails the calls of one upstream that have waited too long."""

    def __init__(self, upstream, clock):
        self._upstream, self._clock = upstream, clock
        self._lock = threading.Lock()
        self._look_planned = False  # protected by _lock

    def watch(self):
        """A call is under way: look at it until it ends. Any thread."""
        with self._lock:
            if self._look_planned:
                return
            self._look_planned = True
        self._clock.after(min(1.0, self._upstream.entry.timeout / 4), self._look)

    def _look(self):
        """Called by the clock."""
        with self._lock:
            self._look_planned = False
        life, seconds = self._upstream.life, self._upstream.entry.timeout
        text = f'server "{self._upstream.name}" did not answer within {seconds:g} seconds'
        for our_id in life.pending.silent_since(time.monotonic() - seconds):
            row = life.pending.find(our_id)
            if row:  # answered first: its call ends while the request is still in the table
                row.reply_to.send(error(row.id, SERVER_UNAVAILABLE, text))
                self._upstream.withdraw(our_id, text)
        if life.pending.calls():
            self.watch()
