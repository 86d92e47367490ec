"""When a server that has ended is started again.

After a pause that doubles with each failure in a row, until a life was long enough to count as
healthy. After too many failures in a row the server is left alone. So is one that could not even
be started the first time: mostly its config is wrong. A remote server that has only forgotten our
session gets a new one at once.
"""

import logging
import math
import time

from transports.fabric.gather import GrowingPause

log = logging.getLogger("router")

LONGEST_PAUSE = 60.0    # seconds before a server is started again
SOON = 10.0             # seconds after such a restart at once, in which the next one has a pause
LOOK_AGAIN = 0.5        # seconds, while the process of its last life has not ended yet


class Restarts:
    """The failures of one server. No failure follows another without a restart between them, so
    the threads that come here take turns and need no lock."""

    def __init__(self, upstream):
        self.count = 0          # how often it was started again
        self.given_up = False   # whether it will not be started again
        self.stopped = False    # the same, but only because no session used it; set by the Pool
        self.spared = False     # whether a life begins in another way than the one before it did
        self._failures = 0      # in a row
        self._pause = GrowingPause(upstream.entry.restart_pause, LONGEST_PAUSE)
        self._last_at_once = -math.inf  # by time.monotonic(): when a session was forgotten
        self._upstream = upstream

    def plan(self, life, hopeless, least_pause=None):
        """This life has failed. Let the clock begin the next one, unless it would be one too many
        or is `hopeless`, or no session would use it. A `least_pause` of 0: it is no failure."""
        upstream, now = self._upstream, time.monotonic()
        if least_pause == 0 and now - self._last_at_once > SOON:
            self._last_at_once = now
            self.at_once()
            return
        if life.running_since and now - life.running_since >= upstream.entry.healthy:
            self._failures = 0
            self._pause.reset()
        self._failures += 1
        if not hopeless and upstream.pool.stops(upstream):
            return
        if not hopeless and self._failures <= upstream.entry.restart_attempts:
            upstream.clock.after(max(self._pause.next(), least_pause or 0), self._restart)
            return
        self.given_up = True
        if self.count:
            log.error('server "%s" is not started again: it failed %d times in a row',
                      upstream.name, self._failures)
        upstream.audience.lists_changed()  # what it had in an earlier life is gone for good

    def begin_anew(self):
        """A session uses the server after all: earlier failures do not count."""
        self.stopped, self._failures = False, 0
        self._pause.reset()

    def at_once(self):
        """It has only forgotten us, or the next life begins in another way: that is no failure."""
        self._upstream.clock.after(0, self._restart, False)

    def _restart(self, failed=True):
        """Called by the clock."""
        upstream = self._upstream
        if failed and upstream.pool.stops(upstream):
            return
        if upstream.wait_closed(0):
            self.count += failed
            upstream.pool.start_again(upstream)
        else:  # never two lives at once: they may share files
            upstream.clock.after(LOOK_AGAIN, self._restart, failed)
